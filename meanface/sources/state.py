"""What tells a changed local source from an unchanged one."""

from collections.abc import Sequence
from pathlib import Path

from meanface.sources.folder import Folder
from meanface.sources.listing import folder_listing_digest


def state_of(path: Path, ignore: Sequence[str] = ()) -> str:
    """Give a text that is another one when the folder or archive at `path` has changed.

    `path` may be a pattern in a folder; `ignore` are the patterns of what does not count.
    Of an archive too: Snakemake does not see that an archive was replaced by an older file.
    Raises OSError for an archive that is not there, UserError for a folder that cannot be listed.
    """
    if Folder.of(path):
        return folder_listing_digest(path, ignore)
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
