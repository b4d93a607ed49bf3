"""Verify the photos, an archive or a folder, and say what was read."""

import time
from pathlib import Path

from meanface.errors import UserError
from meanface.files.digest import file_digest
from meanface.sources.checksum import Checksum, verify
from meanface.sources.listing import folder_listing_digest

SKEW = 60  # seconds that the clock of a file server may be ahead


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
