"""The state of a local source, which changes when the source changes."""

from collections.abc import Sequence
from pathlib import Path

from meanface.sources.folder import Folder
from meanface.sources.listing import folder_listing_digest


def state_of(path: Path, ignore: Sequence[str] = ()) -> str:
    """Give a text that changes when the folder or archive at `path` changes.

    `path` may be a pattern in a folder; `ignore` holds the patterns of ignored files. Archives need
    a state as well, because Snakemake does not notice an archive that an older file replaced.
    Raises OSError for a missing archive, UserError for a folder that cannot be listed.
    """
    if Folder.of(path):
        return folder_listing_digest(path, ignore)
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
