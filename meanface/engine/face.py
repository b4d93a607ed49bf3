"""A face in a photo, which boxes show one face, and which of several faces counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


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
    given = list(faces)
    edges = np.array([(one.left, one.top, one.right + 1, one.bottom + 1) for one in given])
    edges = edges.reshape(-1, 4)
    areas = np.prod(edges[:, 2:] - edges[:, :2], axis=1)
    is_new = np.ones(len(given), bool)
    for number, face in enumerate(given):
        if not is_new[number]:
            continue
        kept.append(face)
        low = np.maximum(edges[:, :2], edges[number, :2])
        high = np.minimum(edges[:, 2:], edges[number, 2:])
        inner = np.prod(np.maximum(high - low, 0), axis=1)
        union = areas + areas[number] - inner
        is_new &= (inner <= 0.3 * union) & (inner <= 0.7 * np.minimum(areas, areas[number]))
    return kept


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
