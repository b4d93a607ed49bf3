"""What detectors share: photos scaled down for the search, and boxes scaled back up."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.face import Face

Pixels = NDArray[np.uint8]

Search = Callable[[Sequence[Pixels], int], list[list[Face]]]
"""A detector. It gets photos, uint8 RGB (height, width, 3), and how often to double their size.

It gives the faces of each photo, the highest score first.
"""

# The longest side before upsampling. dlib adds up positions in float32 when it resizes, and writes
# outside its memory for sides well beyond twice this length.
LONGEST = 4096


def scale_to(most: int, height: int, width: int) -> float:
    """Give the factor that scales a photo down to `most` pixels; 1 or less: it is small enough.

    A photo with `most` above 0 is bounded to LONGEST as well. 0: no bound.
    """
    if not most:
        return 1.0
    return max(math.sqrt(height * width / most), max(height, width) / LONGEST)


def brightness(photo: Pixels) -> Pixels:
    """Give the brightness, uint8 (height, width), of a photo, RGB (height, width, 3) or grey."""
    return photo if photo.ndim == 2 else np.asarray(Image.fromarray(photo).convert("L"))


def shrunk(photo: Pixels, scale: float) -> tuple[Pixels, float]:
    """Scale a photo, uint8 RGB (height, width, 3), down by `scale` where that is more than 1.

    Gives the photo and the factor that scales boxes back up.
    """
    if scale <= 1:
        return photo, 1.0
    return resized(photo, scale), scale


def resized(photo: Pixels, scale: float) -> Pixels:
    """Scale a photo, uint8 RGB (height, width, 3), down by `scale`; below 1: up."""
    if scale == 1:
        return photo
    height, width = photo.shape[:2]
    size = max(1, int(width / scale)), max(1, int(height / scale))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))


def scaled(face: Face, scale: float) -> Face:
    """Give the face with its box enlarged by `scale`, from a smaller photo to the photo."""
    if scale == 1:
        return face
    return replace(
        face,
        left=round(face.left * scale),
        top=round(face.top * scale),
        right=round((face.right + 1) * scale) - 1,
        bottom=round((face.bottom + 1) * scale) - 1,
    )
