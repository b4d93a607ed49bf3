"""Tools that tests need and that pip does not install: who lacks one skips its tests."""

import shutil
from collections.abc import Callable

from meanface.engine.settings import has_gpu
from tests.cluster.slurm_cluster import missing_programs


def has(program: str) -> Callable[[], bool]:
    """Whether the program is on the PATH."""
    return lambda: shutil.which(program) is not None


TOOLS = {
    "chromium": (has("chromium"), "apt-get install chromium"),
    "gpu": (has_gpu, "an NVIDIA GPU with its driver, and the packages of meanface[gpu]"),
    "rsync": (has("rsync"), "apt-get install rsync"),
    "unzip": (has("unzip"), "apt-get install unzip"),
    "zip": (has("zip"), "apt-get install zip"),
    "slurm": (lambda: not missing_programs(), "python tests/cluster/slurm_cluster.py --install"),
}
"""For each tool: whether it is there, and how to get it."""


def how_to_get(tool: str) -> str | None:
    """What gives a missing tool; None where it is there."""
    is_there, remedy = TOOLS[tool]
    return None if is_there() else remedy
