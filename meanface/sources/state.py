"""What tells a changed local source from an unchanged one."""

from pathlib import Path

from meanface.sources.listing import folder_listing_digest


def state_of(path: Path) -> str:
    """Give a text that is another one when the folder or archive at `path` has changed.

    Of an archive too: Snakemake does not see that an archive was replaced by an older file.
    Raises OSError for an archive that is not there, UserError for a folder that cannot be listed.
    """
    if path.is_dir():
        return folder_listing_digest(path)
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
