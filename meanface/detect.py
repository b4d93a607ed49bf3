"""Find the faces of a photo: a ladder of detectors, each tried where those before it found none."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from meanface.cnn import CnnDetector
from meanface.encoder import open_session
from meanface.face import Face


class Search(Protocol):
    """A detector: RGB uint8 (height, width, 3), doubled `upsample` times first, best face first."""

    def __call__(self, pixels: NDArray[np.uint8], upsample: int) -> list[Face]: ...


class Ladder:
    """Detectors in the order in which they are tried, on photos scaled down to a bounded size."""

    def __init__(
        self, names: Sequence[str], models: Mapping[str, Path], device: str, pixels: int
    ) -> None:
        """Make the detectors `names` ("hog@0", "cnn@1": name@upsample).

        `models` gives the exported files of the kinds that occur, "hog" and "cnn"; `pixels` is the
        most that a photo has when detection begins (0: no bound).
        """
        kinds = {name.partition("@")[0] for name in names}
        searches = {kind: _SEARCHES[kind](models[kind], device) for kind in kinds}
        self._detectors = [
            (name, partial(searches[kind], upsample=int(upsample)))
            for name in names
            for kind, _, upsample in [name.partition("@")]
        ]
        self._pixels = pixels

    def __call__(self, pixels: NDArray[np.uint8]) -> tuple[str, list[Face]]:
        """Give the name of the first detector that finds a face and its faces, most certain first.

        Boxes are in coordinates of `pixels`, RGB uint8 (height, width, 3). Where none finds a
        face, the name is "" and the list empty.
        """
        small, scale = _bounded(pixels, self._pixels)
        for name, detector in self._detectors:
            if faces := detector(small):
                return name, [_scaled(face, scale) for face in faces] if scale != 1 else faces
        return "", []


def _hog(model: Path, device: str) -> Search:
    """dlib's frontal face detector (HOG features, five linear filters); it knows only the CPU."""
    frontal = dlib.fhog_object_detector(str(model))

    def search(pixels: NDArray[np.uint8], upsample: int) -> list[Face]:
        boxes, scores, _ = frontal.run(pixels, upsample, 0.0)
        return [
            Face(box.left(), box.top(), box.right(), box.bottom(), score)
            for box, score in zip(boxes, scores, strict=True)
        ]

    return search


def _cnn(model: Path, device: str) -> Search:
    """dlib's CNN detector."""
    return CnnDetector(open_session(model, device))


_SEARCHES: dict[str, Callable[[Path, str], Search]] = {"hog": _hog, "cnn": _cnn}


def _bounded(pixels: NDArray[np.uint8], most: int) -> tuple[NDArray[np.uint8], float]:
    """Scale down to at most `most` pixels; the second value scales boxes back up."""
    height, width = pixels.shape[:2]
    if not most or height * width <= most:
        return pixels, 1
    scale = math.sqrt(height * width / most)
    size = max(1, int(width / scale)), max(1, int(height / scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)), scale


def _scaled(face: Face, scale: float) -> Face:
    return replace(
        face,
        left=round(face.left * scale),
        top=round(face.top * scale),
        right=round((face.right + 1) * scale) - 1,
        bottom=round((face.bottom + 1) * scale) - 1,
    )
