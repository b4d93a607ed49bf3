"""Logging of one job: details in its log file, how far it is, and why it failed in one line."""

import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from meanface.errors import UserError

if TYPE_CHECKING:
    from meanface.engine.outcome import Outcome

# A reason that log_to wrote to the log file, or printed. A cluster keeps what a job prints.
_REASON = re.compile(r"^(?:.* ERROR )?meanface: (.+?)(?: \(details in .*\))?$", re.M)
# A line that SLURM adds to the printed text when SLURM ends a job.
_ENDED = re.compile(r"^slurmstepd: error: (.+)$", re.M)
# A path that begins in the working directory of the run.
_PATH = re.compile(r"(?<![\w./-])(?:results|\.snakemake)/[^\s:;,)]*")
# How far a job is, as log_progress writes it.
_PROGRESS = re.compile(r"progress: (\d+) photos done, (\d+) failed$", re.M)
_SECONDS = 1.0
_TAIL = 4096  # bytes


def from_here(text: str, directory: Path) -> str:
    """Make relative paths in a message right where the command was given.

    `directory` is the working directory of the run, as the command named it.
    """

    def placed(path: re.Match[str]) -> str:
        return str(directory / path[0])

    return _PATH.sub(placed, text)


@contextmanager
def log_to(path: str) -> Iterator[None]:
    """Send logging to the file `path`. If the job fails, end the process with status 1.

    The log file gets the reason in one line, after the stack trace of an error that is no
    UserError. The reason is also printed, unless MEANFACE_QUIET is set and the log file holds the
    reason: the run then finds the reason with `reason_in`.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path,
        filemode="w",
        encoding="utf-8",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk must not hide the reason
    try:
        yield
    except KeyboardInterrupt:  # Ctrl-C reaches the jobs as well, and is no error
        logging.info("stopped by the user")
        sys.exit(130)  # as a shell does
    except Exception as error:
        reason = str(error)
        if not isinstance(error, UserError):
            logging.exception("stopped")
            reason = f"{type(error).__name__}: {error}"
        reason = " ".join(reason.split())
        logging.error("meanface: %s", reason)
        if "MEANFACE_QUIET" not in os.environ or reason_in(Path(path)) != reason:
            print(f"meanface: {reason} (details in {path})", file=sys.stderr)
        sys.exit(1)


def reason_in(log: Path) -> str | None:
    """Give the last reason in a log, or in what a job printed; None if there is no reason."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    reasons = _REASON.findall(text) or _ENDED.findall(text)
    return reasons[-1] if reasons else None


def log_progress(batches: "Iterable[Sequence[Outcome]]") -> "Iterator[Sequence[Outcome]]":
    """Yield the batches, and log how many photos are done and have failed, once a second."""
    from meanface.engine.outcome import Failure  # imports numpy, which not every job needs

    done = failed = 0
    told = time.monotonic()
    for outcomes in batches:
        done += len(outcomes)
        failed += sum(isinstance(outcome, Failure) for outcome in outcomes)
        if time.monotonic() - told >= _SECONDS:
            logging.info("progress: %d photos done, %d failed", done, failed)
            told = time.monotonic()
        yield outcomes


def progress_in(log: Path, since: float) -> tuple[int, int]:
    """Give how many photos a running job has done, and how many of them have failed.

    (0, 0) where the end of the log does not say so, and for a log that was written before the time
    `since`, in seconds since the epoch: an earlier job wrote it.
    """
    try:
        with log.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mtime < since:
                return 0, 0
            file.seek(max(0, status.st_size - _TAIL))
            found = _PROGRESS.findall(file.read().decode(errors="replace"))
    except OSError:
        return 0, 0
    done, failed = found[-1] if found else (0, 0)
    return int(done), int(failed)
