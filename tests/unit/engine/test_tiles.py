"""Photos searched in tiles: no face is cut, none counts twice, memory is bounded."""

from collections.abc import Sequence

import dlib
import numpy as np
import pytest
from numpy.typing import NDArray

from meanface.engine.decode import decode
from meanface.engine.face import Face
from meanface.engine.search import Pixels, brightness
from meanface.engine.tiles import tiled
from tests.unit.engines import sample

WHITE = 255


class Squares:
    """Stands in for a detector: finds white squares of 80 pixels and more after upsampling.

    Like a detector, it takes the part of a square for a face where the photo cuts the square.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        return [self.find(photo, upsample) for photo in photos]

    def find(self, photo: Pixels, upsample: int) -> list[Face]:
        self.sizes.append(photo.shape[0] * photo.shape[1] * 4**upsample)
        white = photo[..., 0] > WHITE // 2
        found, rest = [], white.copy()
        while rest.any():
            top, left = np.argwhere(rest)[0]
            bottom, right = top, left
            while bottom + 1 < len(white) and white[bottom + 1, left]:
                bottom += 1
            while right + 1 < white.shape[1] and white[top, right + 1]:
                right += 1
            rest[top : bottom + 1, left : right + 1] = False
            face = Face(int(left), int(top), int(right), int(bottom), 1.0)
            if min(face.width, face.height) >= 80 >> upsample:
                found.append(face)
        return found


def white_squares(height: int, width: int, squares: list[Face]) -> NDArray[np.uint8]:
    photo = np.zeros((height, width, 3), np.uint8)
    for square in squares:
        photo[square.top : square.bottom + 1, square.left : square.right + 1] = WHITE
    return photo


def square(left: int, top: int, side: int) -> Face:
    return Face(left, top, left + side - 1, top + side - 1, 1.0)


@pytest.mark.parametrize("upsample", [0, 1])
def test_every_face_is_found_once_and_whole_wherever_tiles_meet(upsample: int) -> None:
    small = [square(x, y, 100) for y in range(0, 2900, 333) for x in range(0, 2300, 287)]
    photo = white_squares(3000, 2400, small)
    detector = Squares()
    [found] = tiled(detector, 1 << 20)([photo], upsample)
    assert sorted(found, key=lambda face: (face.top, face.left)) == small
    assert len(detector.sizes) > 8
    assert max(detector.sizes) <= 1 << 20


@pytest.mark.parametrize("is_grey", [True, False])
def test_dlib_sees_the_same_faces_in_tiles(is_grey: bool) -> None:
    detector = dlib.get_frontal_face_detector()

    def search(photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        return [
            [Face(box.left(), box.top(), box.right(), box.bottom(), 1.0) for box in detector(one)]
            for one in photos
        ]

    portrait = decode(sample()["Grace_Hopper/Grace_Hopper_0001.jpg"].data, "full", 10**8)
    photo = np.tile(portrait, (1400 // portrait.shape[0] + 1, 1400 // portrait.shape[1] + 1, 1))
    photo = brightness(photo) if is_grey else photo
    [whole], [found] = search([photo], 0), tiled(search, 1 << 20)([photo], 0)
    assert len(found) == len(whole) > 3


@pytest.mark.parametrize("side", [390, 600, 1500])
def test_a_face_larger_than_a_tile_comes_from_the_photo_scaled_down(side: int) -> None:
    large = square(420, 380, side)
    [[found]] = tiled(Squares(), 1 << 20)([white_squares(2400, 2400, [large])], 0)
    assert np.abs(np.subtract((found.left, found.top), (420, 380))).max() <= 4
    assert abs(found.width - side) <= 8


def test_small_photos_are_searched_together_as_they_are() -> None:
    calls = []

    def search(photos: Sequence[Pixels], upsample: int) -> list[list[Face]]:
        calls.append(len(photos))
        return [[square(0, 0, len(photo))] for photo in photos]

    photos = [np.zeros((side, side, 3), np.uint8) for side in (100, 200)]
    assert tiled(search, 1 << 20)(photos, 1) == [[square(0, 0, 100)], [square(0, 0, 200)]]
    assert calls == [2]


def test_a_photo_of_a_single_row_ends() -> None:
    assert tiled(Squares(), 1 << 20)([np.zeros((1, 150_000, 3), np.uint8)], 1) == [[]]
