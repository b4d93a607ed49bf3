"""A first look for a frontal face over the middle of a photo, which leaves out most of the work.

dlib's HOG detector searches a pyramid of ever smaller copies of a photo, from the finest, which
costs a third, to the coarsest. A glance takes these levels in another order, and ends where a face
over the middle is found.
"""

from collections.abc import Iterator
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from meanface.engine.face import Face, distinct
from meanface.engine.hog_file import open_changed

Grey = NDArray[np.uint8]

# Of dlib 20, image_transforms/image_pyramid.h (pyramid_down<6>) and scan_fhog_pyramid.h: each level
# has 5/6 of the size of the level before, as long as its sides have 64 pixels.
_LARGER, _SHIFT = 6 / 5, 0.3
_LEAST = 64

_FIRST = 45_000  # pixels at most of the finest level in the first octave
_OCTAVE = 4  # levels, which about halve the sides: 5/6 four times is 0.48
_SURE = 0.5  # a face with a higher score ends the search


class Glance:
    """Searches the octaves of a photo's pyramid, the coarsest octave first."""

    def __init__(self, hog: Path) -> None:
        """Open the exported detector. Of its five filters, the one for faces from the front counts.

        Raises UserError where another version of dlib wrote the file.
        """
        self._detector = open_changed(hog.read_bytes(), levels=1, filters=1)

    def __call__(self, photo: Grey) -> list[Face]:
        """Give the frontal faces in a photo, grey uint8 (height, width), the most certain first.

        The list is empty if no face is over the middle. Otherwise the search ends at that face. The
        list may lack faces that only a finer octave or a coarser level of the same octave shows.
        """
        height, width = photo.shape
        found: list[Face] = []
        is_over_middle = False
        for octave in _octaves(photo):
            best = _SURE
            for number, level in octave:
                faces = self.faces_in(level, number)
                found += faces
                scores = [face.score for face in faces if _covers(face, width // 2, height // 2)]
                is_over_middle |= bool(scores)
                score = max(scores, default=0.0)
                if score <= best and best > _SURE:
                    break
                best = max(best, score)
            if best > _SURE:
                break
        return distinct(sorted(found, key=lambda face: -face.score)) if is_over_middle else []

    def faces_in(self, level: Grey, number: int) -> list[Face]:
        """Give the faces in a level of the pyramid, in coordinates of the photo, level 0."""
        boxes, scores, _ = self._detector.run(level, 0, 0.0)
        return [_enlarged(box, score, number) for box, score in zip(boxes, scores, strict=True)]


def _octaves(photo: Grey) -> Iterator[Iterator[tuple[int, Grey]]]:
    """Yield octaves of a photo's pyramid, the coarsest first.

    An octave yields its levels, the finest first, each with its number in the pyramid.
    """
    sizes = [photo.shape]
    while min(smaller := (sizes[-1][0] * 5 // 6, sizes[-1][1] * 5 // 6)) >= _LEAST:
        sizes.append(smaller)
    levels = [photo]

    def level(number: int) -> tuple[int, Grey]:
        while len(levels) <= number:
            levels.append(dlib.resize_image(levels[-1], *sizes[len(levels)]))
        return number, levels[number]

    small = (number for number, (rows, columns) in enumerate(sizes) if rows * columns <= _FIRST)
    first, end = next(small, 0), len(sizes)
    while end:
        yield map(level, range(first, end))
        first, end = max(0, first - _OCTAVE), first


def _enlarged(box: dlib.rectangle, score: float, levels: int) -> Face:
    """Give a box of a level in coordinates of the photo, rounded as dlib does."""
    corners = np.array([box.left(), box.top(), box.right(), box.bottom()], float)
    for _ in range(levels):
        corners = corners * _LARGER + _SHIFT
    left, top, right, bottom = np.trunc(corners + np.copysign(0.5, corners)).astype(int).tolist()
    return Face(left, top, right, bottom, score)


def _covers(face: Face, x: int, y: int) -> bool:
    return face.left <= x <= face.right and face.top <= y <= face.bottom
