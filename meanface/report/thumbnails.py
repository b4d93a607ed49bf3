"""Thumbnails of the report: photos as images that are part of a page."""

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from PIL import Image

from meanface.engine.decode import decode
from meanface.engine.settings import EngineSettings
from meanface.report.pixels import Pixels, around, faces_of, read_photos, thumbnail

_QUALITY = 70  # of WebP, which takes about 2 kB for 96 x 96 pixels


def as_image(pixels: Pixels) -> str:
    """Give pixels, RGB uint8 (height, width, 3), as the address of an image: data:image/webp."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "webp", quality=_QUALITY, method=6)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def face_images(
    faces: pd.DataFrame,
    sizes: Mapping[int, Iterable[int]],
    tars: Mapping[str, Path],
    settings: EngineSettings,
) -> dict[int, dict[int, str]]:
    """Give the images of faces by size and row.

    `sizes` has for each size in pixels the row numbers of the table `faces`. Each photo is read
    once, and one photo is in memory at a time.
    """
    of_row: dict[int, list[int]] = {}
    for size, rows in sizes.items():
        for row in rows:
            of_row.setdefault(row, []).append(size)
    wanted = faces.loc[sorted(of_row)]
    of_path = wanted.groupby("path").indices
    images: dict[int, dict[int, str]] = {size: {} for size in sizes}
    for path, data in read_photos(wanted, tars):
        pixels = decode(data, settings.decode, settings.max_pixels)
        theirs = wanted.iloc[of_path[path]]
        for row, face in zip(theirs.index.tolist(), faces_of(theirs), strict=True):
            for size in of_row[row]:
                images[size][row] = as_image(around(pixels, face, size))
    return images


def photo_images(
    photos: pd.DataFrame, size: int, tars: Mapping[str, Path], settings: EngineSettings
) -> dict[str, str]:
    """Give the images of whole photos, by the path. `photos` has the columns path and shard."""
    return {
        path: as_image(thumbnail(decode(data, settings.decode, settings.max_pixels), size))
        for path, data in read_photos(photos, tars)
    }
