"""The nearest embeddings of embeddings, by Euclidean distance: exact, or by an index if many."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Comparing all with all takes a time that grows with the square of the rows.
EXACT = 200_000
"""The most embeddings that are all compared. More are searched through an index."""

_CHUNK = 1 << 12  # queries at a time
_AT_ONCE = 64  # queries whose candidates fit the processor's cache
_SPARE = 16  # faiss rounds by its blocks; spare candidates let the exact distances decide
_PER_LIST, _PROBES, _TRAINING = 250, 64, 64  # rows per cell, cells searched, rows per cell to train


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of each query, nearest first. Equal distances are sorted by row.

    * `rows`, int32 (n, k): row numbers; -1 where there are fewer than k.
    * `distances`, float32 (n, k): Euclidean; infinite where there are fewer than k.
    """

    rows: NDArray[np.int32]
    distances: NDArray[np.float32]


def nearest(
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32] | None = None,
    *,
    most: int,
    among: NDArray[np.int64] | None = None,
    threads: int = 1,
    exact: int = EXACT,
) -> Neighbours:
    """Give the `most` nearest of embeddings (n, d) for each of the `queries` (m, d).

    `among`: the sorted rows of embeddings that are compared, if not all are. Without queries, each
    embedding asks for its neighbours and is not one of them. Beyond `exact`
    embeddings an inverted file (Jegou et al. 2011, "Product quantization for nearest neighbor
    search", without the quantisation) looks in the 64 cells nearest to a query. The result does
    not depend on the number of threads.
    """
    import faiss  # takes a quarter of a second, which other jobs save

    faiss.omp_set_num_threads(threads)
    count = len(embeddings) if among is None else len(among)
    index = _index(embeddings, among, exact)
    own = queries is None
    asked = embeddings if queries is None else queries
    rows = np.full((len(asked), most), -1, dtype=np.int32)
    distances = np.full((len(asked), most), np.inf, dtype=np.float32)
    candidates = min(most + own + _SPARE, count)
    for start in range(0, len(asked), _CHUNK):
        part = slice(start, start + _CHUNK)
        some = np.ascontiguousarray(asked[part])
        found = np.asarray(index.search(some, candidates)[1])
        if among is not None:
            found = np.where(found < 0, -1, among[found])
        if own:
            found[found == np.arange(start, start + len(some))[:, None]] = -1
        nearest_rows, lengths = _ranked(embeddings, some, found)
        kept = min(most, candidates)
        rows[part, :kept], distances[part, :kept] = nearest_rows[:, :kept], lengths[:, :kept]
    return Neighbours(rows, distances)


def _index(embeddings: NDArray[np.float32], among: NDArray[np.int64] | None, exact: int) -> Any:  # noqa: ANN401  # faiss has no types
    import faiss

    def some(rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return np.ascontiguousarray(embeddings[rows if among is None else among[rows]])

    count, dimensions = len(embeddings if among is None else among), embeddings.shape[1]
    flat = faiss.IndexFlatL2(dimensions)
    if count <= exact:
        flat.add(some(slice(None)))
        return flat
    cells = count // _PER_LIST
    index = faiss.IndexIVFFlat(flat, dimensions, cells)
    index.nprobe = min(_PROBES, cells)
    index.cp.seed, index.cp.niter = 1, 8
    index.cp.max_points_per_centroid = _TRAINING
    sample = np.linspace(0, count - 1, min(count, cells * _TRAINING)).astype(np.int64)
    index.train(some(sample))
    for start in range(0, count, _CHUNK * 16):
        index.add(some(slice(start, start + _CHUNK * 16)))
    return index


def _ranked(
    embeddings: NDArray[np.float32], queries: NDArray[np.float32], found: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sort candidates (m, k) of queries by exact distance, then by row; -1 is no candidate."""
    lengths = np.full(found.shape, np.inf)
    for start in range(0, len(found), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        difference = embeddings[found[part]].astype(np.float64) - queries[part, None]
        # Not BLAS, whose order of adding depends on the number of threads.
        lengths[part] = np.sqrt(np.einsum("ijk,ijk->ij", difference, difference))
    lengths[found < 0] = np.inf
    order = np.lexsort((found, lengths), axis=1)
    return np.take_along_axis(found, order, 1), np.take_along_axis(lengths, order, 1)
