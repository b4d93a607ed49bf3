"""Surrounds the work of every job: log, records, the end with Snakemake."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from meanface.process import end_with_parent
from meanface.workflow.integrity import recorded
from meanface.workflow.logs import log_to


@contextmanager
def job(log: str, made: Iterable[str]) -> Iterator[None]:
    """Log to the file `log`, and record the digests of the files `made` beside the log."""
    end_with_parent()
    with log_to(log), recorded(Path(log).with_suffix(".json"), made):
        yield
