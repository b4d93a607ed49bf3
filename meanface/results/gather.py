"""Writing the embeddings of all shards in another order, in bounded memory.

Embeddings are first dealt out to files, one for each stretch of the result. Then each file is read
whole and written in order. So every byte is read and written in sequence, twice.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from meanface.engine.outcome import DIMENSIONS
from meanface.files.arrays import release
from meanface.files.atomic import replacing

Piece: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions (n,) in the result, and the embeddings (n, 128) that belong there."""

STRETCH = 1 << 18  # rows, 130 MB
_MOST_FILES = 512  # open at a time; many systems allow a process 1,024
_RECORD = np.dtype([("position", np.int64), ("embedding", np.float32, (DIMENSIONS,))])


def gather(
    pieces: Iterable[Piece], count: int, target: Path, folder: Path, *, stretch: int = STRETCH
) -> None:
    """Write float32 (count, 128) to `target`, with each embedding at its position.

    `pieces` have every position from 0 to count - 1 once. `folder` is for temporary files.
    `stretch` rows of the result are in memory at a time; more beyond 134 million rows.
    """
    stretch = max(stretch, -(-count // _MOST_FILES))
    files = [folder / f"embeddings{number}" for number in range(-(-count // stretch))]
    _deal_out(pieces, stretch, files)
    with replacing(target) as part:
        result = open_memmap(part, mode="w+", dtype=np.float32, shape=(count, DIMENSIONS))
        for file, start in zip(files, range(0, count, stretch), strict=True):
            records = np.fromfile(file, _RECORD)
            file.unlink()
            ordered = np.empty((len(records), DIMENSIONS), np.float32)
            ordered[records["position"] - start] = records["embedding"]
            result[start : start + stretch] = ordered
            release(result)
        result.flush()


def _deal_out(pieces: Iterable[Piece], stretch: int, files: list[Path]) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(file.open("wb")) for file in files]
        for positions, embeddings in pieces:
            for number, records in _by_stretch(positions, embeddings, stretch):
                streams[number].write(records)


def _by_stretch(
    positions: NDArray[np.int64], embeddings: NDArray[np.float32], stretch: int
) -> Iterator[tuple[int, memoryview]]:
    records: NDArray[Any] = np.empty(len(positions), _RECORD)
    records["position"] = positions
    records["embedding"] = embeddings
    records = records[np.argsort(positions // stretch, kind="stable")]
    numbers, starts = np.unique(records["position"] // stretch, return_index=True)
    for number, some in zip(numbers.tolist(), np.split(records, starts)[1:], strict=True):
        yield number, some.data
