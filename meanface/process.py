"""What a process does about the one that started it."""

import ctypes
import os
import signal
import sys
from importlib.abc import MetaPathFinder

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def child_environment() -> dict[str, str]:
    """Give the environment of a process that encodes.

    It imports what its parent can. With a single thread, OpenBLAS takes 40 MB less per core.
    """
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OPENBLAS_NUM_THREADS": "1",
    }


def end_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, on Linux.

    Else it would go on writing to the files that the next run makes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _LeftOut(MetaPathFinder):
    """Finds a module to be missing."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == self._module:
            raise ModuleNotFoundError(f"this process leaves {fullname} out", name=fullname)


def leave_out(module: str) -> None:
    """Make this process import no `module`, as if it were not installed."""
    sys.meta_path.insert(0, _LeftOut(module))
