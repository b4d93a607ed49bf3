"""An index of many embeddings: which cell of space each lies in. A search looks in the next cells.

An inverted file: Jegou, Douze and Schmid 2011, "Product quantization for nearest neighbor search",
without the quantisation. The embeddings stay in their own file, so the index is small.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanface.files.atomic import replacing
from meanface.results.neighbours import Neighbours, nearest

EXACT = 1_000_000
"""The most embeddings that are all compared with a query. An index of fewer has no cells."""

_ROWS = 200_000  # embeddings in memory at a time
_PER_ROOT, _TRAINING, _ROUNDS = 4, 64, 8  # cells per square root of n, rows per cell to train
_PROBES = 256  # cells that are searched: at 2 million faces, 95 % of the 20 nearest are found


@dataclass(frozen=True)
class Cells:
    """Centres, float32 (c, d); rows of embeddings by cell, int64 (n,); where cells start (c + 1,).

    c = 0: there are few embeddings, and all of them are compared.
    """

    centres: NDArray[np.float32]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def read(cls, source: Path) -> "Cells":
        """Read what `write` wrote."""
        with np.load(source, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in ("centres", "rows", "starts")})

    def write(self, target: Path) -> None:
        """Write the arrays as .npz."""
        with replacing(target) as part, part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **asdict(self))


def cells_of(embeddings: NDArray[np.float32], *, threads: int = 1, exact: int = EXACT) -> Cells:
    """Divide embeddings (n, d) into about 4 sqrt(n) cells by k-means; none for at most `exact`.

    The cells do not depend on the number of threads.
    """
    import faiss  # takes a quarter of a second, which other jobs save

    count, dimensions = embeddings.shape
    if count <= exact:
        return Cells(
            np.empty((0, dimensions), np.float32), np.empty(0, np.int64), np.zeros(1, np.int64)
        )
    faiss.omp_set_num_threads(threads)
    number = round(_PER_ROOT * math.sqrt(count))
    means = faiss.Kmeans(
        dimensions, number, niter=_ROUNDS, seed=1, max_points_per_centroid=_TRAINING
    )
    sample = np.linspace(0, count - 1, min(count, number * _TRAINING)).astype(np.int64)
    means.train(np.ascontiguousarray(embeddings[sample]))
    centres: NDArray[np.float32] = np.asarray(means.centroids)
    cell = np.empty(count, np.int64)
    for part in _parts(count):
        some = np.ascontiguousarray(embeddings[part])
        cell[part] = faiss.knn(some, centres, 1)[1][:, 0]
    starts = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=number))])
    return Cells(centres, np.argsort(cell, kind="stable"), starts)


def search(
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32],
    cells: Cells,
    *,
    most: int,
    threads: int = 1,
) -> Neighbours:
    """Give the `most` nearest of embeddings (n, d) for each of the queries (m, d).

    The embeddings may be a mapped file: few of its pages are in memory at a time.
    """
    rows = np.full((len(queries), most), -1, np.int32)
    distances = np.full((len(queries), most), np.inf, np.float32)
    found = Neighbours(rows, distances)
    if not len(cells.centres):
        for part in _parts(len(embeddings)):
            near = nearest(embeddings[part], queries, most=most, threads=threads)
            shifted = np.where(near.rows < 0, -1, near.rows + part.start).astype(np.int32)
            found = _joined(found, Neighbours(shifted, near.distances), most)
        return found
    probes = min(_PROBES, len(cells.centres))
    for number, chosen in enumerate(nearest(cells.centres, queries, most=probes).rows):
        parts = [cells.rows[cells.starts[one] : cells.starts[one + 1]] for one in chosen]
        some = np.sort(np.concatenate(parts))
        near = nearest(
            embeddings[some], queries[[number]], most=most, threads=threads, exact=len(some)
        )
        rows[number] = np.where(near.rows < 0, -1, some[near.rows])
        distances[number] = near.distances
    return found


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _ROWS) for start in range(0, count, _ROWS)]


def _joined(one: Neighbours, other: Neighbours, most: int) -> Neighbours:
    """Give the nearest of both. Rows of `one` come before those of `other`, for equal distances."""
    rows = np.concatenate([one.rows, other.rows], axis=1)
    distances = np.concatenate([one.distances, other.distances], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :most]
    return Neighbours(np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1))
