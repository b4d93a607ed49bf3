"""Search a photo that is too large to be searched at once, in tiles that cut no face."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from meanface.engine.face import Face, distinct
from meanface.engine.search import LONGEST, Pixels, Search, scaled, shrunk

# Sizes in pixels after upsampling. Detectors see faces from about 80 pixels. So the photo scaled
# down four times shows faces from 320 pixels, and smaller ones fit into the overlap of two tiles.
_OVERLAP = 400
_COARSER = 4


def tiled(search: Search, most: int) -> Search:
    """Give a search of photos of any size by `search`, which gets at most `most` pixels at once.

    `most` counts pixels after upsampling. Photos with more are cut into tiles. Faces that are too
    large for the overlap of two tiles come from the photo scaled down. A face counts once.
    """

    def every(photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        small = [photo for photo in photos if _fits(photo.shape, most, upsample)]
        found = iter(search(small, upsample))
        return [
            next(found)
            if _fits(photo.shape, most, upsample)
            else distinct(sorted(in_tiles(photo, upsample), key=lambda face: -face.score))
            for photo in photos
        ]

    def in_tiles(photo: Pixels, upsample: int) -> Iterator[Face]:
        coarse, scale = shrunk(photo, _COARSER)
        yield from (scaled(face, scale) for face in every([coarse], upsample)[0])
        overlap = _OVERLAP >> upsample
        rows, columns = _grid(photo.shape, most, upsample)
        for top, bottom in rows:
            for left, right in columns:
                # dlib enlarges no view of a photo.
                tile = np.ascontiguousarray(photo[top:bottom, left:right])
                for face in search([tile], upsample)[0]:
                    # A face at an inner edge may be cut. It lies within another tile.
                    is_whole = (
                        (face.left > 0 or left == 0)
                        and (face.top > 0 or top == 0)
                        and (face.right + 1 < right - left or right == photo.shape[1])
                        and (face.bottom + 1 < bottom - top or bottom == photo.shape[0])
                    )
                    if is_whole and max(face.width, face.height) <= overlap - 2:
                        yield replace(
                            face,
                            left=face.left + left,
                            top=face.top + top,
                            right=face.right + left,
                            bottom=face.bottom + top,
                        )

    return every


def _fits(shape: tuple[int, ...], most: int, upsample: int) -> bool:
    height, width = shape[:2]
    is_short = max(height, width) << upsample <= 2 * LONGEST
    return is_short and height * width << 2 * upsample <= most


def _grid(
    shape: tuple[int, ...], most: int, upsample: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Give the first and the end of the rows of the tiles, and those of the columns."""
    height, width = shape[:2]
    down, across = 1, 1
    while True:
        rows, columns = _spans(height, down, upsample), _spans(width, across, upsample)
        tall, wide = (max(end - first for first, end in spans) for spans in (rows, columns))
        if _fits((tall, wide), most, upsample):
            return rows, columns
        if tall >= wide:
            down += 1
        else:
            across += 1


def _spans(length: int, count: int, upsample: int) -> list[tuple[int, int]]:
    overlap = _OVERLAP >> upsample
    size = math.ceil((length + (count - 1) * overlap) / count)
    return [
        (first, min(length, first + size))
        for first in (number * (size - overlap) for number in range(count))
    ]
