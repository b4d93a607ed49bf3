"""The manifest of a shard: one row per photo."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from meanface.errors import AccountingError
from meanface.files.schemas import MANIFEST
from meanface.files.tables import read_rows
from meanface.sources.formats import is_archive


class ManifestRow(NamedTuple):
    """One photo of a manifest."""

    path: str
    size: int  # bytes of the photo; 0 where it could not be read
    sha256: str  # hexadecimal; "" where the photo was too large, or could not be read


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a shard."""

    path: str
    size: int  # bytes of the photo
    sha256: str  # hexadecimal
    data: bytes


def identity_of(path: str, *, prefixed: bool = False) -> str:
    """Give the name of the person in a photo: the name of the photo's folder, or "".

    The name of an archive in a folder is no person. With `prefixed`, paths begin with the name of
    their source, which is no person either. The name is in Unicode's form NFC, because zips
    made by macOS store an accent as a character of its own.
    """
    folder = path.rpartition("/")[0]
    if prefixed:
        folder = folder.partition("/")[2]
    name = folder.rpartition("/")[2]
    return "" if is_archive(name) else normalize("NFC", name)


def read_manifest(manifest: Path) -> list[ManifestRow]:
    """Read a manifest. Raises AccountingError where the manifest is damaged."""
    with manifest.open(encoding="utf-8", newline="") as stream:
        try:
            photos = [ManifestRow(*row) for row in read_rows(stream, MANIFEST)]
        except ValueError as error:
            raise AccountingError(f"{manifest} is damaged: {error}") from error
    for before, after in pairwise(photos):
        if before.path >= after.path:
            raise AccountingError(f"{manifest} is damaged: {after.path!r} is out of order")
    return photos
