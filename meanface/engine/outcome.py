"""What became of a photo: its faces with their embeddings, or why it failed."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meanface.engine.face import Face
from meanface.engine.settings import EngineSettings

DIMENSIONS = 128  # of an embedding by dlib's network


@dataclass(frozen=True)
class EncodedFace:
    """One face of a photo: where it is, what found it, its embedding float32 (128,).

    `angle` is by how many degrees the face is turned counterclockwise, from -180 to 180.
    """

    faces: int
    face: Face
    detector: str
    angle: float
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class Failure:
    """A photo without an embedding, and why."""

    reason: str
    detail: str


def none_counts(settings: EngineSettings, *, found: bool, large: bool) -> Failure:
    """Give the failure of a photo in which no face counts: none found, none large, none certain."""
    if not found:
        return Failure("no_face", f"none found by {', '.join(settings.detectors)}")
    if not large:
        detail = f"every face is smaller than min_face, {settings.min_face} pixels"
        return Failure("small_face", detail)
    return Failure("weak_face", f"every score is lower than min_score, {settings.min_score}")


Outcome: TypeAlias = list[EncodedFace] | Failure
