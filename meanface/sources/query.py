"""Where the photos of a query are: one photo, or what a source of photos may be."""

import glob
from pathlib import Path

from meanface.errors import UserError
from meanface.sources.folder import Folder
from meanface.sources.formats import is_archive
from meanface.sources.kinds import check_place


def query_place(query: str) -> Path:
    """Give the folder, archive or pattern of a query, to be read as a source.

    A photo is read as the pattern that it alone matches in its folder. Raises UserError where
    nothing is there.
    """
    try:
        path = Path(query).expanduser().absolute()
        if not path.exists() and Folder.of(path) is None:
            raise UserError(f"query: there is no photo or folder {query}")
        if path.is_file() and not is_archive(path.name):
            path = path.resolve()  # no link is followed later
            # Brackets make a pattern of a name that has none. [!] would be no pattern.
            stem = path.name.rstrip("!")
            rest = path.name[len(stem) :]
            folder = Path(glob.escape(str(path.parent)))
            return folder / f"{glob.escape(stem[:-1])}[{stem[-1:]}]{rest}"
        return path
    except (OSError, ValueError, RuntimeError) as error:  # a path too long, an unknown user
        raise UserError(f"query: {query!r} will not do: {error}") from error


def check_query(place: Path, ignore: list[str], max_bytes: int) -> None:
    """Raise UserError if a short look shows that `place` holds no photos."""
    try:
        check_place(place, ignore, max_bytes)
    except UserError as error:
        raise UserError(f"query: {error}") from error
