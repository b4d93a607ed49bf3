"""Record the digests of what jobs make, and find files that were altered since.

The record of a job (JSON) holds the sha256 of each file that the job made. Reading all files at the
start of every run would take long. So `seen` keeps the size and times of each file, and only files
with another size or time are read. Every change of a file's content changes its ctime.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from stat import S_ISDIR
from typing import Any, TypeAlias

from meanface.errors import UserError
from meanface.files.atomic import remove, replacing
from meanface.files.digest import file_digest

State: TypeAlias = list[int]
"""Bytes, mtime and ctime in nanoseconds."""

ALTERED = "*.altered-*.csv"
"""The names of tables that users altered, in the folder of the results."""


@contextmanager
def recorded(record: Path, files: Iterable[str]) -> Iterator[None]:
    """Write the sha256 of `files`, which the block makes, to `record` if the block succeeds.

    A file may be a folder, see file_digest.
    """
    record.unlink(missing_ok=True)  # the record of earlier files is no longer true
    yield
    _write(record, {file: file_digest(Path(file)) for file in files})


def remove_altered(records: Path, seen: Path) -> dict[str, Path | None]:
    """Remove files that differ from their records in the folder `records`; give their names.

    A user may have edited a table beside the folder `records`: such a file gets a new name, which
    is given with its own. Other files are removed (None).

    Snakemake makes a removed file again when the file is needed. If the clock was set back, files
    from the future get the present time, because no new file would be newer.

    Raises UserError if a file cannot be read or cannot be removed.
    """
    known, now = _read(seen), time.time_ns()
    altered: dict[str, Path | None] = {}
    states: dict[str, State | None] = {}
    for file, sha256 in recorded_files(records).items():
        state = _state(file)
        if state is None:
            continue
        try:
            if state != known.get(file) and file_digest(Path(file)) != sha256:
                altered[file] = _remove(Path(file), records.parent)
                continue
            if state[1] > now:
                for path in (Path(file), *Path(file).glob("*")):
                    os.utime(path, ns=(now, now))
                state = _state(file)
        except OSError as error:
            raise UserError(
                f"{file} is not what was made, or cannot be read: {error.strerror}; delete it"
            ) from error
        states[file] = state
    _keep(seen, states)
    return altered


def note_states(records: Path, seen: Path) -> None:
    """Write the present states of all recorded files to `seen`, after a run."""
    _keep(seen, {file: _state(file) for file, _ in recorded_files(records).items()})


def check_digest(file: Path, sha256: str) -> None:
    """Raise UserError unless the content of `file` has this sha256."""
    if file_digest(file) != sha256:
        raise UserError(f"{file} was altered since it was made; delete it to have it made again")


def recorded_files(records: Path) -> dict[str, str]:
    """Give all files in the records below the folder `records`, with their sha256."""
    return {file: sha256 for _, files in records_in(records) for file, sha256 in files.items()}


def files_in(record: Path) -> dict[str, str]:
    """Give the files of one record, with their sha256; none if there is no such record."""
    return _read(record)


def records_in(records: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield each record below the folder `records`: its path, and the files with their sha256."""
    for folder, _, names in os.walk(records):
        for name in names:
            if name.endswith(".json"):
                record = Path(folder, name)
                content = _read(record)
                # Another workflow may keep other JSON files in this folder.
                if all(
                    isinstance(sha256, str) and len(sha256) == 64 for sha256 in content.values()
                ):
                    yield record, content


def _remove(file: Path, results: Path) -> Path | None:
    """Remove a file, but rename a table of `results`; give the new name."""
    if file.parent != results or file.suffix != ".csv":
        remove(file)
        return None
    names = (file.with_suffix(f".altered-{number}.csv") for number in count(1))
    return file.rename(next(name for name in names if not name.exists()))


def _state(file: str) -> State | None:
    """Give the state of a file; None if there is no such file.

    A folder has the size of all its files and the latest times.
    """
    try:
        found = [Path(file).stat()]
        if S_ISDIR(found[0].st_mode):
            found += [one.stat() for one in Path(file).glob("[!.]*")]
    except OSError:
        return None
    return [
        sum(one.st_size for one in found),
        max(one.st_mtime_ns for one in found),
        max(one.st_ctime_ns for one in found),
    ]


def _read(source: Path) -> dict[str, Any]:
    """Read what _write wrote; an empty dict if the file is missing or damaged."""
    with suppress(OSError, ValueError):
        content = json.loads(source.read_bytes())
        if isinstance(content, dict):
            return content
    return {}


def _keep(seen: Path, states: dict[str, State | None]) -> None:
    with suppress(OSError):  # on a full disk, the next run just reads more files
        _write(seen, states)


def _write(target: Path, content: dict[str, Any]) -> None:
    with replacing(target) as part:
        part.write_text(json.dumps(content))
