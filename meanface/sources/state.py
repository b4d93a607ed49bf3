"""The state of a local source, which changes when the source changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meanface.sources.folder import Folder
from meanface.sources.listing import Amount, amount_of, folder_listing


@dataclass(frozen=True)
class State:
    """How much a source holds, and a text that changes when the source changes."""

    amount: Amount
    text: str


def state_of(path: Path, ignore: Sequence[str] = ()) -> State:
    """Give the state of the folder or archive at `path`, in one pass over a folder.

    `path` may be a pattern in a folder; `ignore` holds the patterns of ignored files. Archives need
    a state as well, because Snakemake does not notice an archive that an older file replaced.
    Raises OSError and UserError as folder_listing and amount_of do.
    """
    if Folder.of(path):
        listing = folder_listing(path, ignore)
        return State(listing.amount, listing.digest)
    status = path.stat()
    return State(amount_of(path), f"{status.st_size} {status.st_mtime_ns}")
