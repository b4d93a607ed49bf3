"""Pixels for the pictures: photos from shards, faces from photos, and averages of faces."""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.chips import SIZE, open_cut
from meanface.engine.decode import decode
from meanface.engine.engine import HELD, bunches
from meanface.engine.face import Face
from meanface.engine.settings import EngineSettings
from meanface.errors import AccountingError

Pixels = NDArray[np.uint8]

_NOTHING = "#E4E4E4"  # the colour of a square where there is no photo


def read_photos(table: pd.DataFrame, tars: Mapping[str, Path]) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each photo in the `table` (path, shard), shard by shard.

    `tars` gives the tar of each shard. Raises AccountingError where a photo is not in its shard.
    """
    for shard, paths in table.groupby("shard")["path"]:
        tar = tars[str(shard)]
        missing = set(paths)
        with tarfile.open(tar, "r:") as archive:
            while missing and (info := archive.next()):
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                content = archive.extractfile(info) if info.isreg() else None
                if content and info.name in missing:
                    missing.remove(info.name)
                    yield info.name, content.read()
        if missing:
            raise AccountingError(
                f"{tar} does not hold photo {min(missing)!r}; delete it to have it made anew"
            )


def faces_of(table: pd.DataFrame) -> list[Face]:
    """Give the boxes and scores of the rows of a table of faces."""
    columns = table[[field.name for field in fields(Face)]]
    return [Face(*row) for row in columns.itertuples(index=False, name=None)]


def mean_faces(
    faces: pd.DataFrame,
    groups: Sequence[NDArray[np.intp]],
    tars: Mapping[str, Path],
    settings: EngineSettings,
    models: Mapping[str, Path],
) -> list[Pixels]:
    """Give the average of the chips of each group, uint8 (150, 150, 3).

    A group has row numbers of the table `faces`. Each photo is read once, and few photos are in
    memory at a time.
    """
    cut = open_cut(settings, models)
    # Row i is true for the groups that row i of `faces` belongs to.
    member = np.zeros((len(faces), len(groups)), dtype=bool)
    for index, group in enumerate(groups):
        member[group, index] = True
    rows = np.flatnonzero(member.any(axis=1))
    wanted = faces.iloc[rows]
    of_path: dict[str, list[tuple[np.intp, Face, str]]] = {}
    for path, row, face, detector in zip(
        wanted["path"], rows, faces_of(wanted), wanted["detector"], strict=True
    ):
        of_path.setdefault(path, []).append((row, face, detector))
    photos = (
        (of_path[path], decode(data, settings.decode, settings.max_pixels))
        for path, data in read_photos(wanted, tars)
    )
    sums = np.zeros((len(groups), SIZE, SIZE, 3), dtype=np.int64)
    for some in bunches(photos, lambda photo: photo[1].nbytes, HELD):
        found = [(row, (pixels, face, by)) for faces, pixels in some for row, face, by in faces]
        chips = cut([sighting for _, sighting in found])
        for (row, _), chip in zip(found, chips, strict=True):
            if chip is None:  # the engine encodes no such face
                raise AccountingError(f"{faces['path'].iloc[row]!r} is not the photo that was read")
            sums[member[row]] += chip.pixels
    counts = np.array([len(group) for group in groups])
    return list(np.round(sums / counts[:, None, None, None]).astype(np.uint8))


def around(pixels: Pixels, face: Face, size: int) -> Pixels:
    """Give the square around a face, twice as large as its box, scaled to `size` pixels.

    Pixels outside the photo are pale grey.
    """
    side = 2 * max(face.width, face.height)
    left = (face.left + face.right + 1 - side) // 2
    top = (face.top + face.bottom + 1 - side) // 2
    # crop() fills with black outside the photo. The mask leaves that out.
    box = (left, top, left + side, top + side)
    photo = Image.fromarray(pixels)
    square = Image.new("RGB", (side, side), _NOTHING)
    square.paste(photo.crop(box), mask=Image.new("1", photo.size, 1).crop(box))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def thumbnail(pixels: Pixels, size: int) -> Pixels:
    """Give the photo scaled to fit a square of `size` pixels, centred on pale grey."""
    photo = Image.fromarray(pixels)
    photo.thumbnail((size, size))
    square = Image.new("RGB", (size, size), _NOTHING)
    square.paste(photo, ((size - photo.width) // 2, (size - photo.height) // 2))
    return np.asarray(square)
