"""Find the faces of a photo: a ladder of detectors, each tried where those before it found none."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from meanface.cnn import CnnDetector
from meanface.encoder import open_session
from meanface.face import Face

# Takes RGB uint8 (height, width, 3), gives the faces found, most certain first.
Detector = Callable[[NDArray[np.uint8]], list[Face]]


class Ladder:
    """Detectors in the order in which they are tried, on photos scaled down to a bounded size."""

    def __init__(self, names: Sequence[str], model: Path | None, device: str, pixels: int) -> None:
        """Make the detectors `names` ("hog@0", "cnn@1": name@upsample).

        `model` is the ONNX file of the CNN detector (None where no name begins with cnn), `pixels`
        the most that a photo has when detection begins (0: no bound).
        """
        cnn = CnnDetector(open_session(model, device)) if model else None
        self._detectors = [(name, _detector(name, cnn)) for name in names]
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


def _detector(name: str, cnn: CnnDetector | None) -> Detector:
    kind, _, upsample = name.partition("@")
    if kind == "hog":
        return _hog(int(upsample))
    if kind == "cnn" and cnn:
        return lambda pixels: cnn(pixels, int(upsample))
    raise ValueError(f"no detector {name!r}")


def _hog(upsample: int) -> Detector:
    """dlib's frontal face detector (HOG features, five linear filters)."""
    frontal = dlib.get_frontal_face_detector()

    def detect(pixels: NDArray[np.uint8]) -> list[Face]:
        boxes, scores, _ = frontal.run(pixels, upsample, 0.0)
        return [
            Face(box.left(), box.top(), box.right(), box.bottom(), score)
            for box, score in zip(boxes, scores, strict=True)
        ]

    return detect


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
