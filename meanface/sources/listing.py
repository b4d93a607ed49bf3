"""The files of a folder: a digest of their names, sizes, times and modes, and their total size."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meanface.errors import UserError
from meanface.sources.folder import Folder
from meanface.sources.ignore import Ignore


@dataclass(frozen=True)
class Listing:
    """The files of a folder that count: their bytes, and what changes when one of them changes.

    `digest` is the sha256 (hex) of path, size, modification time and mode of every file.
    """

    size: int
    digest: str


def folder_listing(place: Path, ignore: Sequence[str] = ()) -> Listing:
    """List a folder, in one pass.

    `place` is a folder or a pattern in a folder, see Folder. `ignore` holds patterns, see Ignore.
    No content is read, and no link is followed. The mode is included because a file may become
    readable. Raises UserError for a folder that cannot be listed.
    """
    digest = hashlib.sha256()
    total = 0
    for path, (size, mtime_ns, mode) in sorted(_listing(place, ignore)):
        digest.update(b"%b\0%d\0%d\0%o\0" % (path, size, mtime_ns, mode))  # no path holds a NUL
        total += size
    return Listing(total, digest.hexdigest())


def _listing(place: Path, ignore: Sequence[str]) -> Iterator[tuple[bytes, tuple[int, int, int]]]:
    """Yield the relative path, and (size, mtime_ns, mode), of every file that counts."""
    folder = Folder.of(place)
    if folder is None:
        raise UserError(f"{place}: cannot be listed: no such folder")
    for name, status, _ in folder.walk(Ignore(ignore)):
        if status and not stat.S_ISDIR(status.st_mode):
            yield os.fsencode(name), (status.st_size, status.st_mtime_ns, status.st_mode)


def size_of(place: Path, ignore: Sequence[str] = ()) -> int:
    """Return the bytes of a file, or of all files of a folder that count.

    Raises OSError for a missing file, UserError for a folder that cannot be listed.
    """
    if place.is_file():
        return place.stat().st_size
    return sum(size for _, (size, _, _) in _listing(place, ignore))
