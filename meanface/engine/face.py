"""A face in a photo, which boxes show one face, and which of several faces counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Face:
    """A detected face: its box in pixels (right and bottom included, as in dlib) and its score."""

    left: int
    top: int
    right: int
    bottom: int
    score: float

    @property
    def width(self) -> int:
        """The box's width in pixels."""
        return self.right - self.left + 1

    @property
    def height(self) -> int:
        """The box's height in pixels."""
        return self.bottom - self.top + 1


def distinct(faces: Iterable[Face]) -> list[Face]:
    """Give the faces but those that show a face before them: each face counts once.

    Two boxes show one face where their intersection is more than 0.3 of their union or more than
    0.7 of the smaller box.
    """
    kept: list[Face] = []
    for face in faces:
        if not any(_is_one(face, other) for other in kept):
            kept.append(face)
    return kept


def _is_one(face: Face, other: Face) -> bool:
    width = min(face.right, other.right) - max(face.left, other.left) + 1
    height = min(face.bottom, other.bottom) - max(face.top, other.top) + 1
    inner = max(width, 0) * max(height, 0)
    areas = face.width * face.height, other.width * other.height
    return inner > 0.3 * (sum(areas) - inner) or inner > 0.7 * min(areas)


def choose(faces: Sequence[Face], which: str, height: int, width: int) -> Sequence[Face]:
    """Give the faces that count in a photo of `height` x `width` pixels; at least one is given.

    `which`: "first" (the detector's most certain), "central" (its middle nearest to the photo's),
    "largest" (by area) or "all". `faces` come most certain first, which also settles ties.
    """
    if which == "all":
        return faces
    if which == "first":
        return faces[:1]
    if which == "largest":
        return [max(faces, key=lambda face: face.width * face.height)]
    return [
        min(
            faces,
            key=lambda face: (
                (face.left + face.right + 1 - width) ** 2
                + (face.top + face.bottom + 1 - height) ** 2
            ),
        )
    ]
