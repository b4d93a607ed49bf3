"""Face chips: landmarks align a face and cut it out of its photo, as the encoder gets it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import dlib
import numpy as np
from numpy.typing import NDArray

from meanface.engine.face import Face
from meanface.engine.landmarks import Landmarks, Mark
from meanface.engine.search import Pixels
from meanface.engine.settings import EngineSettings
from meanface.engine.upright import MARKED, Square, Upright, angle_of

# dlib's encoder was trained on chips of 150x150 pixels with a quarter of the face around it.
SIZE = 150
PADDING = 0.25


@dataclass(frozen=True)
class Chip:
    """A face, uint8 RGB (150, 150, 3), turned upright, and its angle in the photo.

    `angle` is in degrees from -180 to 180: by so much is the face turned counterclockwise.
    """

    pixels: Pixels
    angle: float


Sighting: TypeAlias = tuple[Pixels, Face, str]
"""A photo, uint8 RGB (height, width, 3), a face in it, and the name of the detector."""

Cut: TypeAlias = Callable[[Sequence[Sighting]], list[Chip | None]]
"""Cuts each face out of its photo; None for one that cannot be turned upright."""


def open_cut(settings: EngineSettings, models: Mapping[str, Path]) -> Cut:
    """Open what `settings` asks for; `models` gives the exported files of landmarks and cnn."""
    mark = open_landmarks(settings, models)
    if not settings.upright:
        return lambda faces: [
            _chip(photo, landmarks)
            for (photo, _, _), landmarks in zip(faces, _as_found(mark, faces), strict=True)
        ]
    five = mark if settings.landmarks == 5 else Landmarks(models["landmarks5"])
    upright = Upright(models["cnn"], five, nearby=settings.face != "all")

    def cut(faces: Sequence[Sighting]) -> list[Chip | None]:
        found = _as_found(mark, faces)
        fives = found if five is mark else _as_found(five, faces)
        squares = [
            upright(*face, angle_of(points)) for face, points in zip(faces, fives, strict=True)
        ]
        tilted = [
            (photo, square)
            for (photo, _, _), square in zip(faces, squares, strict=True)
            if square and square.turn
        ]
        turned = iter(_in_squares(mark, tilted))
        return [
            _chip(photo, next(turned) if square.turn else landmarks) if square else None
            for (photo, _, _), square, landmarks in zip(faces, squares, found, strict=True)
        ]

    return cut


def _as_found(mark: Mark, faces: Sequence[Sighting]) -> list[dlib.full_object_detection]:
    return mark([(photo, face) for photo, face, _ in faces])


def _in_squares(
    mark: Mark, tilted: Sequence[tuple[Pixels, Square]]
) -> list[dlib.full_object_detection]:
    """Find landmarks where faces are upright; give them where they are in the photos."""
    found = mark([(square.pixels(photo, MARKED), MARKED.box) for photo, square in tilted])
    return [_moved(landmarks, square) for landmarks, (_, square) in zip(found, tilted, strict=True)]


def _moved(landmarks: dlib.full_object_detection, square: Square) -> dlib.full_object_detection:
    points = np.array([(point.x, point.y) for point in landmarks.parts()], np.float64)
    places = np.rint(square.to_photo(points, MARKED)).astype(int).tolist()
    return dlib.full_object_detection(dlib.rectangle(), [dlib.point(x, y) for x, y in places])


def _chip(photo: Pixels, landmarks: dlib.full_object_detection) -> Chip:
    pixels: NDArray[np.uint8] = dlib.get_face_chip(photo, landmarks, SIZE, PADDING)
    return Chip(pixels, angle_of(landmarks))


def open_landmarks(settings: EngineSettings, models: Mapping[str, Path]) -> Mark:
    """Open the landmarks of `settings`, which find the points of a face in each photo."""
    return Landmarks(models[f"landmarks{settings.landmarks}"])
