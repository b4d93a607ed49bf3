"""Logging of one job: details to its log file, one line for the person at the terminal."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meanface.errors import UserError


@contextmanager
def log_to(path: str) -> Iterator[None]:
    """Send logging to the file `path`; end the process with one line on stderr where it fails.

    The stack trace of whatever was raised goes to the log file. The exit status is then 1.
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
    except UserError as error:
        logging.error("%s", error)
        sys.exit(f"meanface: {error}")
    except Exception as error:
        logging.exception("stopped")
        sys.exit(f"meanface: {type(error).__name__}: {error} (details in {path})")
