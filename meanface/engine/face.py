"""A face in a photo, and which of several faces counts."""

from collections.abc import Sequence
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
