"""Jittered crops of a chip: the encoder sees a face several times, each time a little differently.

The mean over the crops depends less on where exactly the landmarks lie. Crops are those of dlib's
`jitter_image` (image_transforms/interpolation.h), which face_recognition uses for `num_jitters`:
shifted by up to 2 %, turned by up to 3 degrees, up to 3 % smaller, and mirrored half the time.
"""

import hashlib
import math
from collections.abc import Iterator

import dlib
import numpy as np
from numpy.typing import NDArray

_NUMBERS = 5  # that make a crop
_MARGIN = 3  # pixels at each edge of a chip, which dlib leaves out before it jitters
_SHIFT, _SMALLEST, _LARGEST, _DEGREES = 0.02, 0.97, 0.99999, 3


def jittered(chip: NDArray[np.uint8], seed: str, count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield `count` crops of a chip, uint8 RGB (150, 150, 3): the chip itself, then jittered ones.

    `seed` alone decides how the chip is jittered.
    """
    yield chip
    for numbers in _draw(seed, count - 1):
        yield crop(chip, *numbers)


def crop(
    chip: NDArray[np.uint8], down: float, right: float, size: float, turn: float, mirror: float
) -> NDArray[np.uint8]:
    """Give dlib's jittered crop of a chip for five numbers from 0 to 1, in place of random ones.

    `down`, `right`, `size` and `turn` go from the least to the most. Above 1/2, `mirror` mirrors.
    """
    side = len(chip)
    inner = dlib.rectangle(_MARGIN, _MARGIN, side - 1 - _MARGIN, side - 1 - _MARGIN)
    y, x = (
        side // 2 + math.floor((2 * number - 1) * _SHIFT * inner.width() + 0.5)
        for number in (down, right)
    )
    larger = int(inner.width() / (_SMALLEST + size * (_LARGEST - _SMALLEST)))
    place = dlib.centered_rect(dlib.point(x, y), larger, larger)
    angle = math.radians((2 * turn - 1) * _DEGREES)
    details = dlib.chip_details(dlib.drectangle(place), dlib.chip_dims(side, side), angle)
    cut: NDArray[np.uint8] = dlib.extract_image_chip(chip, details)
    return cut[:, ::-1] if mirror > 1 / 2 else cut


def _draw(seed: str, count: int) -> list[list[float]]:
    """Draw numbers from 0 to 1, `count` times _NUMBERS. SHAKE256 (FIPS 202) expands the seed."""
    stream = hashlib.shake_256(seed.encode()).digest(4 * _NUMBERS * count)
    drawn = np.frombuffer(stream, "<u4").reshape(count, _NUMBERS) / 2**32
    numbers: list[list[float]] = drawn.tolist()
    return numbers
