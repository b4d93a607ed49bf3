"""The photo inside a RAW file: cameras put a developed JPEG beside the pixels of the sensor."""

import re

from meanface.engine.jpeg import frame_size
from meanface.sources.formats import ORIENTATION, SUB_IFDS, TILE_HEIGHT, TILE_WIDTH, tiff_tags

LEAST = 300_000
"""The pixels of the smallest preview. What is smaller is a thumbnail, with faces of few pixels."""

_JPEG = re.compile(rb"\xff\xd8\xff[\xc4\xdb\xdd\xe0-\xef\xfe]")
_MOST_JPEGS = 10_000  # beginnings; a file has more only by intent
_CR3, _CAMERA = b"ftypcrx ", b"CMT1"  # the box of a CR3 that holds the camera's TIFF directory


def largest_preview(data: bytes) -> bytes | None:
    """Give the largest JPEG in a RAW file, and what follows it; None if no JPEG has LEAST pixels.

    JPEGs that viewers do not show, such as the sensor's pixels in a lossless one, do not count. Nor
    do the tiles of a lossy DNG.
    """
    first = tiff_tags(data)
    second = tiff_tags(data, int(first.get(SUB_IFDS, 0)))
    tiles = {(tags.get(TILE_WIDTH), tags.get(TILE_HEIGHT)) for tags in (first, second)}
    most, place = LEAST - 1, None
    for number, match in enumerate(_JPEG.finditer(data)):
        if number == _MOST_JPEGS:
            break
        size = frame_size(data, match.start())
        if size and size not in tiles and size[0] * size[1] > most:
            most, place = size[0] * size[1], match.start()
    return None if place is None else data[place:]


def orientation(data: bytes) -> int | str | None:
    """Give the EXIF orientation of a RAW file, which counts for previews that have none."""
    if data[4:12] == _CR3:
        camera = data.find(_CAMERA, 0, 1 << 16)
        data = b"" if camera < 0 else data[camera + len(_CAMERA) :]
    return tiff_tags(data).get(ORIENTATION)
