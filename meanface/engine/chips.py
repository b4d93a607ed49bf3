"""Face chips: landmarks align a face and cut it out of its photo, as the encoder gets it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import dlib
import numpy as np
from numpy.typing import NDArray

from meanface.engine.face import Face
from meanface.engine.landmarks import Landmarks
from meanface.engine.settings import EngineSettings

# dlib's encoder was trained on chips of 150x150 pixels with a quarter of the face around it.
SIZE = 150
PADDING = 0.25

Cut: TypeAlias = Callable[[Sequence[tuple[NDArray[np.uint8], Face]]], list[NDArray[np.uint8]]]
"""Cuts each face out of its photo, uint8 RGB (height, width, 3): chips, uint8 RGB (150, 150, 3)."""


def open_cut(settings: EngineSettings, models: Mapping[str, Path]) -> Cut:
    """Open the landmarks of `settings`; `models` gives their exported file."""
    landmarks = open_landmarks(settings, models)
    return lambda photos: [
        dlib.get_face_chip(pixels, points, SIZE, PADDING)
        for (pixels, _), points in zip(photos, landmarks(photos), strict=True)
    ]


def open_landmarks(
    settings: EngineSettings, models: Mapping[str, Path]
) -> Callable[[Sequence[tuple[NDArray[np.uint8], Face]]], list[dlib.full_object_detection]]:
    """Open the landmarks of `settings`, which find the points of a face in each photo."""
    if settings.landmarks == 68:
        return Landmarks(models["landmarks68"])
    predictor = dlib.shape_predictor(str(models["landmarks5"]))
    return lambda photos: [
        predictor(pixels, dlib.rectangle(face.left, face.top, face.right, face.bottom))
        for pixels, face in photos
    ]
