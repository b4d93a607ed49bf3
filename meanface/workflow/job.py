"""What every job does around its work."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meanface.process import end_with_parent
from meanface.workflow.integrity import recorded
from meanface.workflow.logs import log_to


@contextmanager
def job(log: str, made: Iterable[str]) -> Iterator[None]:
    """Log to the file `log` as log_to does; beside it, record the digests of what was `made`."""
    end_with_parent()
    with log_to(log), recorded(Path(log).with_suffix(".json"), made):
        yield
