"""What every job does around its work."""

import ctypes
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meanface.logs import log_to
from meanface.records import recorded

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@contextmanager
def job(log: str, made: Iterable[str]) -> Iterator[None]:
    """Log to the file `log` as log_to does; beside it, record the digests of what was `made`."""
    end_with_parent()
    with log_to(log), recorded(Path(log).with_suffix(".json"), made):
        yield


def end_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, on Linux.

    Else it would go on writing to the files that the next run makes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
