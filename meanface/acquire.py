"""Verify the photos, an archive or a folder, and say what was read."""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meanface.errors import UserError
from meanface.files import file_digest

SKEW = 60  # seconds that the clock of a file server may be ahead
HEX_DIGITS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class Checksum:
    """The digest that a file's content must have; given in upper case, it is kept in lower case.

    Raises UserError for an algorithm other than sha256 and md5, and for a malformed digest.
    """

    algorithm: str
    digest: str

    def __post_init__(self) -> None:
        length = HEX_DIGITS.get(self.algorithm)
        if length is None:
            raise UserError(f"checksum: {self.algorithm!r} is unknown, give sha256 or md5")
        if not re.fullmatch(f"[0-9a-fA-F]{{{length}}}", self.digest):
            raise UserError(f"{self.algorithm}: {self.digest!r} is not {length} hexadecimal digits")
        object.__setattr__(self, "digest", self.digest.lower())


def verify(path: Path, checksum: Checksum) -> None:
    """Raise UserError unless the content of `path` can be read and has this checksum."""
    try:
        found = file_digest(path, checksum.algorithm)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if found != checksum.digest:
        raise UserError(
            f"{path}: its {checksum.algorithm} is {found}, expected {checksum.digest}; "
            "replace the file or correct the checksum"
        )


def folder_listing_digest(folder: Path) -> str:
    """Return the sha256 (hex) of the sorted path, size and modification time of every file below.

    Reads no content. A link counts as itself and is not followed. Raises UserError for a folder
    that cannot be listed.
    """
    digest = hashlib.sha256()
    for path, size, mtime_ns in sorted(_listing(folder)):
        digest.update(b"%b\0%d\0%d\0" % (path, size, mtime_ns))  # no path holds a NUL
    return digest.hexdigest()


def _listing(folder: Path) -> Iterator[tuple[bytes, int, int]]:
    """Yield relative path, size and mtime_ns of all that is not a folder; names stay bytes.

    Raises UserError for a folder that cannot be listed.
    """
    root = os.fsencode(folder)
    todo = [b""]
    try:
        while todo:
            below = todo.pop()
            with os.scandir(root + b"/" + below) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(below + entry.name + b"/")
                    else:
                        status = entry.stat(follow_symlinks=False)
                        yield below + entry.name, status.st_size, status.st_mtime_ns
    except OSError as error:
        where = os.fsdecode(error.filename or folder)
        raise UserError(f"{where}: cannot be listed: {error.strerror}") from error


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder.

    Raises OSError for a file that is not there, UserError for a folder that cannot be listed.
    """
    if path.is_dir():
        return sum(size for _, size, _ in _listing(path))
    return path.stat().st_size


def describe(path: Path, checksum: Checksum | None) -> dict[str, object]:
    """Return what identifies the photos of an archive file (verified) or a folder.

    `{"kind": "archive", "name", "bytes", "sha256"}` or `{"kind": "folder", "name", "listing"}`.
    Raises UserError if `path` is missing or unreadable, or has not this checksum, and for an
    archive from the future: nothing that is made from it now would be newer.
    """
    name = path.absolute().name
    try:
        if path.is_dir():
            if checksum is not None:
                raise UserError(f"{path}: a folder has no checksum, leave {checksum.algorithm} out")
            return {"kind": "folder", "name": name, "listing": folder_listing_digest(path)}
        if not path.is_file():
            raise UserError(f"{path}: no such archive or folder, correct photos in the config")
        if path.stat().st_mtime > time.time() + SKEW:
            raise UserError(f"{path}: its time is in the future; set the clock or `touch` it")
        sha256 = file_digest(path)
        if checksum is not None and checksum != Checksum("sha256", sha256):
            verify(path, checksum)
        return {"kind": "archive", "name": name, "bytes": path.stat().st_size, "sha256": sha256}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
