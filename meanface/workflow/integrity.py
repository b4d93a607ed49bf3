"""What jobs made, on record: a file that was altered since is found, and made again.

A job's record, JSON, holds the sha256 of each of its files. So that a run that begins need not read
them all, the size and times that they had when they were last looked at are kept as well (`seen`):
only files that have others by now are read. No change of a file's content keeps its ctime.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from meanface.errors import UserError
from meanface.files.atomic import replacing
from meanface.files.digest import file_digest

State: TypeAlias = list[int]
"""Bytes, mtime and ctime in nanoseconds."""


@contextmanager
def recorded(record: Path, files: Iterable[str]) -> Iterator[None]:
    """Write the sha256 of what the block makes, `files`, to `record` when it succeeds."""
    record.unlink(missing_ok=True)  # what it says of earlier files is no longer true
    yield
    _write(record, {file: file_digest(Path(file)) for file in files})


def remove_altered(records: Path, seen: Path) -> list[str]:
    """Remove the files that are not what the records below the folder `records` say; give them.

    A removed file is one that is missing: Snakemake makes it again where it is needed. Where the
    clock was set back, files from the future get the time of now, since nothing can be newer than
    they are.

    Raises UserError where a file can be neither read nor removed.
    """
    known, now = _read(seen), time.time_ns()
    altered, states = [], {}
    for file, sha256 in _recorded(records):
        state = _state(file)
        if state is None:
            continue
        try:
            if state != known.get(file) and file_digest(Path(file)) != sha256:
                Path(file).unlink()
                altered.append(file)
                continue
            if state[1] > now:
                os.utime(file, ns=(now, now))
                state = _state(file)
        except OSError as error:
            raise UserError(
                f"{file} is not what was made, or cannot be read: {error.strerror}; delete it"
            ) from error
        states[file] = state
    _keep(seen, states)
    return altered


def note_states(records: Path, seen: Path) -> None:
    """Keep the states of all files on record, as they are after a run."""
    _keep(seen, {file: _state(file) for file, _ in _recorded(records)})


def check_digest(file: Path, sha256: str) -> None:
    """Raise UserError unless the content of `file` has this sha256."""
    if file_digest(file) != sha256:
        raise UserError(f"{file} was altered since it was made; delete it to have it made again")


def _recorded(records: Path) -> Iterator[tuple[str, str]]:
    """All files on record, with their sha256."""
    for folder, _, names in os.walk(records):
        for name in names:
            if name.endswith(".json"):
                content = _read(Path(folder, name))
                # Another workflow may keep JSON of its own there.
                if all(
                    isinstance(sha256, str) and len(sha256) == 64 for sha256 in content.values()
                ):
                    yield from content.items()


def _state(file: str) -> State | None:
    """Give a file's state, None where there is no such file."""
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _read(source: Path) -> dict[str, Any]:
    """Read what _write wrote; nothing where that is missing or damaged."""
    with suppress(OSError, ValueError):
        content = json.loads(source.read_bytes())
        if isinstance(content, dict):
            return content
    return {}


def _keep(seen: Path, states: dict[str, State | None]) -> None:
    with suppress(OSError):  # a full disk: the next run reads more, and whatever fails tells
        _write(seen, states)


def _write(target: Path, content: dict[str, Any]) -> None:
    with replacing(target) as part:
        part.write_text(json.dumps(content))
