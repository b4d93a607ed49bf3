"""Verify an archive or a folder of photos, and describe what was read."""

import time
from collections.abc import Sequence
from pathlib import Path

from meanface.errors import UserError
from meanface.files.digest import file_digest
from meanface.sources.checksum import Checksum, verify
from meanface.sources.folder import Folder
from meanface.sources.listing import folder_listing

SKEW = 60  # seconds that the clock of a file server may be ahead


def describe(
    path: Path, checksum: Checksum | None, ignore: Sequence[str] = ()
) -> dict[str, object]:
    """Return what identifies the photos of an archive file (verified) or a folder.

    `path` may be a pattern in a folder, see Folder. `ignore` holds the patterns of ignored files,
    see Ignore.

    `{"kind": "archive", "name", "bytes", "sha256"}` or `{"kind": "folder", "name", "listing"}`.
    Raises UserError if `path` is missing, unreadable or has another checksum. Also raises UserError
    for an archive from the future, because no output of the run would be newer than the archive.
    """
    name = path.absolute().name
    try:
        if Folder.of(path):
            if checksum is not None:
                raise UserError(f"{path}: a folder has no checksum, leave {checksum.algorithm} out")
            return {"kind": "folder", "name": name, "listing": folder_listing(path, ignore).digest}
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
