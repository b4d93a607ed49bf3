"""Choose a GPU of several: one that no other encode job of this user has on this machine."""

import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def own_gpu() -> Iterator[dict[str, str]]:
    """Give the variables that show a process one GPU, which is taken until the block ends.

    No variable is needed where one GPU is visible, as in jobs of SLURM and pods of Kubernetes.
    Where all are taken, the first GPU is shared. A lock ends with the process that holds it.
    """
    names = _visible_gpus()
    if len(names) < 2:
        yield {}
        return
    with ExitStack() as stack:
        chosen = next((name for name in names if stack.enter_context(_taken(name))), None)
        if chosen is None:
            log.warning("other jobs have all %d GPUs; this job shares GPU %s", len(names), names[0])
        else:
            log.info("GPU %s, of %s", chosen, ", ".join(names))
        yield {_VISIBLE: chosen or names[0]}


@contextmanager
def _taken(name: str) -> Iterator[bool]:
    """Lock a GPU; False: another process has the lock."""
    file = f"meanface-{os.getuid()}-gpu-{name.replace('/', '-')}.lock"
    with Path(tempfile.gettempdir(), file).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _visible_gpus() -> list[str]:
    """Give the GPUs that CUDA shows this process, in its names; of parts of GPUs (MIG), none."""
    given = os.environ.get(_VISIBLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return []
    try:
        listed = subprocess.run(  # noqa: S603
            [smi, "-L"], capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        log.warning("nvidia-smi does not answer; the job takes the first GPU")
        return []
    lines = listed.stdout.splitlines()
    if any(not line.startswith("GPU ") for line in lines):
        return []
    return [str(number) for number in range(len(lines))]
