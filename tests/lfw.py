"""Photos of Labeled Faces in the Wild for the tests; they are no part of the repository."""

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


def lfw_archive() -> Path | None:
    """The archive of photos beside the checkout, None where there is none."""
    path = Path(__file__).parents[2] / "shared" / "lfw" / "lfw-subset.tgz"
    return path if path.exists() else None


needs_lfw = pytest.mark.skipif(
    lfw_archive() is None, reason="needs the LFW photos beside the checkout"
)


def lfw_photos(count: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Give `count` photos, name and RGB pixels; always the same, evenly spread over the archive."""
    path = lfw_archive()
    assert path is not None
    with tarfile.open(path) as archive:
        members = sorted(
            (member for member in archive if member.name.endswith(".jpg")), key=lambda m: m.name
        )
        chosen = [members[i * len(members) // count] for i in range(count)]
        chosen.sort(key=lambda member: member.offset)  # to read the archive once, forwards
        photos = [(member.name, _pixels(archive, member)) for member in chosen]
    return sorted(photos, key=lambda photo: photo[0])


def _pixels(archive: tarfile.TarFile, member: tarfile.TarInfo) -> NDArray[np.uint8]:
    file = archive.extractfile(member)
    assert file is not None
    return np.asarray(Image.open(BytesIO(file.read())).convert("RGB"))
