"""A digest of the files of a folder, and about how many photos and bytes a source holds."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meanface.errors import UserError
from meanface.sources.folder import Folder
from meanface.sources.formats import is_archive
from meanface.sources.ignore import Ignore
from meanface.sources.kinds import archive_kind
from meanface.sources.zip_archive import count_members

_TYPICAL = 30_000  # bytes of a photo in a tar, whose members are not counted
_LARGEST = 20_000_000  # bytes of a photo. Most larger files in a folder are videos


@dataclass(frozen=True)
class Amount:
    """About how many bytes of photos a source holds, and how many photos."""

    size: int
    photos: int


@dataclass(frozen=True)
class Listing:
    """The files of a folder that count: their amount, and what changes when one of them changes.

    `digest` is the sha256 (hex) of path, size, modification time and mode of every file.
    """

    amount: Amount
    digest: str


def folder_listing(place: Path, ignore: Sequence[str] = ()) -> Listing:
    """List a folder, in one pass.

    `place` is a folder or a pattern in a folder, see Folder. `ignore` holds patterns, see Ignore.
    No content is read, and no link is followed. The mode is included because a file may become
    readable. Raises UserError for a folder that cannot be listed.
    """
    digest = hashlib.sha256()
    files = sorted(_listing(place, ignore))
    for path, (size, mtime_ns, mode) in files:
        digest.update(b"%b\0%d\0%d\0%o\0" % (path, size, mtime_ns, mode))  # no path holds a NUL
    return Listing(_sum(files), digest.hexdigest())


def amount_of(place: Path, ignore: Sequence[str] = ()) -> Amount:
    """Give the amount of an archive, or of the files of a folder that count.

    The members of a zip are counted. The members of a tar are estimated from its size, because
    counting would read the whole tar. Raises OSError for a missing file, UserError for a file that
    is no archive and for a folder that cannot be listed.
    """
    if not place.is_file():
        return _sum(_listing(place, ignore))
    size = place.stat().st_size
    return Amount(size, count_members(place) if archive_kind(place) == "zip" else size // _TYPICAL)


def _listing(place: Path, ignore: Sequence[str]) -> Iterator[tuple[bytes, tuple[int, int, int]]]:
    """Yield the relative path, and (size, mtime_ns, mode), of every file that counts."""
    folder = Folder.of(place)
    if folder is None:
        raise UserError(f"{place}: cannot be listed: no such folder")
    for name, status, _ in folder.walk(Ignore(ignore)):
        if status and not stat.S_ISDIR(status.st_mode):
            yield os.fsencode(name), (status.st_size, status.st_mtime_ns, status.st_mode)


def _sum(files: Iterable[tuple[bytes, tuple[int, int, int]]]) -> Amount:
    total = photos = 0
    for path, (size, _, _) in files:
        holds_photos = is_archive(os.fsdecode(path))
        total += size if holds_photos else min(size, _LARGEST)
        photos += size // _TYPICAL if holds_photos else 1
    return Amount(total, photos)
