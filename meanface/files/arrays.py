"""Arrays in files. Jobs without arrays do not import this module, and so do not wait for numpy."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanface.files.atomic import replacing

# Rows that are read before their pages are freed. For each row, Linux maps 64 KiB around the row.
_ROWS = 1 << 11


def save_array(target: Path, array: NDArray[Any]) -> None:
    """Write an array as .npy. ValueError: its type is `object`."""
    with replacing(target) as part, part.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def taken(array: NDArray[Any], rows: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Give some rows of an array in a mapped file, a copy, and free the pages that were read."""
    result = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        result[part] = array[rows[part]]
        release(array)
    return result


def release(array: NDArray[Any]) -> None:
    """Free the memory of a mapped file's pages. The content of the file stays.

    The kernel counts these pages as memory of the process, and a job is killed by that count.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
