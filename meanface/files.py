"""Files that appear whole or not at all."""

import hashlib
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write to; it takes target's place when the block succeeds.

    When the block raises, target stays as it was and nothing is left beside it.
    """
    part = target.with_name(target.name + ".part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def save_array(target: Path, array: NDArray[Any]) -> None:
    """Write an array as .npy."""
    with replacing(target) as part, part.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file's content in lower-case hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def release(array: NDArray[Any]) -> None:
    """Let go of the memory that the pages of a mapped file take; what was written stays written.

    Such pages count as memory of the process, and it is their limits that a job is killed by.
    """
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)
