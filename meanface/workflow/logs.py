"""Logging of one job: details in its log file, and one line that says why the job failed."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meanface.errors import UserError

# A reason that log_to wrote to the log file, or printed. A cluster keeps what a job prints.
_REASON = re.compile(r"^(?:.* ERROR )?meanface: (.+?)(?: \(details in .*\))?$", re.M)
# A line that SLURM adds to the printed text when SLURM ends a job.
_ENDED = re.compile(r"^slurmstepd: error: (.+)$", re.M)


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
