"""Arrays in files: written whole or not at all, and let go of when they are mapped.

Apart from files, so that jobs without arrays need not wait for numpy.
"""

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meanface.files.atomic import replacing


def save_array(target: Path, array: NDArray[Any]) -> None:
    """Write an array as .npy."""
    with replacing(target) as part, part.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def release(array: NDArray[Any]) -> None:
    """Let go of the memory that the pages of a mapped file take; what was written stays written.

    Such pages count as memory of the process, and it is their limits that a job is killed by.
    """
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)
