"""The files below a folder: a digest of their names, sizes and times; their bytes together."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from meanface.errors import UserError


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
