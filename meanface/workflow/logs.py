"""Logging of one job: details to its log file, and one line that tells why it failed."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meanface.errors import UserError

# What log_to writes to a log file, and what it prints: that is in what a cluster keeps of a job.
_REASON = re.compile(r"^(?:.* ERROR )?meanface: (.+?)(?: \(details in .*\))?$", re.M)
# What SLURM adds to that where it ends a job.
_ENDED = re.compile(r"^slurmstepd: error: (.+)$", re.M)


@contextmanager
def log_to(path: str) -> Iterator[None]:
    """Send logging to the file `path`; where the job fails, end the process with status 1.

    The stack trace of what no user can put right goes to the log file, then the reason in one
    line. That is printed as well, unless MEANFACE_QUIET is set and the log file took it: then
    whoever started the job finds it with `reason_in`.
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
    logging.raiseExceptions = False  # a log on a full disk is not what to tell of
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
    """Give the last reason for which a job failed, from its log or what it printed, or None."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    reasons = _REASON.findall(text) or _ENDED.findall(text)
    return reasons[-1] if reasons else None
