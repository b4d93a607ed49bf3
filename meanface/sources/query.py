"""Where the photos of a query are: one photo, or what a source of photos may be."""

import glob
from collections.abc import Sequence
from pathlib import Path

from meanface.errors import UserError
from meanface.files.home import from_home
from meanface.sources.folder import Folder
from meanface.sources.formats import is_archive
from meanface.sources.kinds import check_place


def query_place(query: str, ignore: Sequence[str], max_bytes: int) -> Path:
    """Give the folder, archive or pattern of a query, to be read as a source.

    A photo is read as the pattern that it alone matches in its folder. Raises UserError where
    the path does not exist, and where check_place refuses it.
    """
    place = _place(query)
    try:
        check_place(place, ignore, max_bytes)
    except UserError as error:
        message = str(error).replace(str(place), query)  # name the photo, not the pattern
        raise UserError(f"query: {message}") from error
    return place


def _place(query: str) -> Path:
    try:
        path = Path(from_home(query)).absolute()
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
    except (OSError, ValueError) as error:  # such as a path too long
        raise UserError(f"query: {query!r} will not do: {error}") from error
