"""dlib's 5 and 68 landmarks of a face, by a cascade of regression trees.

The algorithm comes from V. Kazemi and J. Sullivan, "One Millisecond Face Alignment with an Ensemble
of Regression Trees", CVPR 2014. Steps and numbers, and so the landmarks, are those of dlib 20's
`shape_predictor` (image_processing/shape_predictor.h). dlib parses 9 or 100 MB of numbers in every
process. Here `export` parses them once, and `Landmarks` maps the result into memory, which all
processes of a machine share.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import dlib
import numpy as np
from numpy.typing import NDArray

from meanface.engine.face import Face

Mark: TypeAlias = Callable[
    [Sequence[tuple[NDArray[np.uint8], Face]]], list[dlib.full_object_detection]
]
"""Finds the landmarks of faces. Photos are uint8 RGB (height, width, 3)."""

CASCADES, TREES, LEVELS = 15, 500, 4
LEAVES = 2**LEVELS
SPLITS = LEAVES - 1

# A split goes left where its first feature is brighter than its second by more than a threshold.
# Brightness is an integer, so thresholds are rounded down, and looked up as rows after features.
# Splits form a heap: the children of split i are 2i + 1 (left) and 2i + 2.
THRESHOLDS = np.arange(-64, 64)  # training draws thresholds from this range


# Coordinates are in units of the face's box. Landmarks are x0, y0, x1, y1 and so on.
def model_of(points: int, features: int) -> np.dtype[np.void]:
    """Give the type of a predictor's numbers, for so many landmarks and features."""
    cascade = np.dtype(
        [
            ("anchors", "<i8", features),  # the landmark that a feature's place is measured from
            ("deltas", "<f4", (2, features)),
            ("splits", "<i8", (3, SPLITS, TREES)),  # rows: first feature, second, threshold
            ("leaves", "<f4", (TREES * LEAVES, 2 * points)),  # what a leaf adds to the landmarks
        ]
    )
    return np.dtype([("points", "<f4", 2 * points), ("cascades", cascade, CASCADES)])


def leaf_of_splits() -> NDArray[np.uint8]:
    """Give the leaf for every outcome of a tree's splits. Bit i is set where split i goes left."""
    outcomes = np.arange(2**SPLITS)
    at = np.zeros_like(outcomes)
    for _ in range(LEVELS):
        at = 2 * at + 2 - (outcomes >> at & 1)
    return np.asarray(at - SPLITS, np.uint8)


_TOGETHER = 16  # faces at a time: 8 take a fifth longer each, 32 save less than a tenth
_GATHERED = 1 << 18  # bytes of leaves at a time, so that they stay in the CPU's cache for the sum


class Landmarks:
    """Finds the landmarks of faces."""

    def __init__(self, model: Path) -> None:
        """Map the file that `export` wrote into memory."""
        mapped = np.asarray(np.load(model, mmap_mode="r", allow_pickle=False))
        self._points = mapped["points"].copy()
        self._features = mapped["cascades"]["anchors"].shape[1]
        self._cascades = [
            tuple(cascade[name] for name in cascade.dtype.names) for cascade in mapped["cascades"]
        ]
        points = self._points.view(np.complex64).astype(np.complex128)
        centred = points - points.mean()
        self._similarity = centred.conj() / (abs(centred) ** 2).sum()
        self._bits = 1 << np.arange(SPLITS, dtype=np.uint16)
        self._leaf = leaf_of_splits()
        self._trees = np.arange(0, TREES * LEAVES, LEAVES)[:, None]

    def __call__(
        self, photos: Sequence[tuple[NDArray[np.uint8], Face]]
    ) -> list[dlib.full_object_detection]:
        """Give the landmarks, in pixels, of a face in each photo, uint8 RGB (height, width, 3).

        Sixteen faces at a time share the cost of reading the trees, in 2 MB of memory. The
        landmarks of a face do not depend on the other faces.
        """
        return [
            found
            for start in range(0, len(photos), _TOGETHER)
            for found in self._find(photos[start : start + _TOGETHER])
        ]

    def _find(
        self, photos: Sequence[tuple[NDArray[np.uint8], Face]]
    ) -> list[dlib.full_object_detection]:
        pixels = [np.ascontiguousarray(photo) for photo, _ in photos]
        boxes = [(face.left, face.top, face.right, face.bottom) for _, face in photos]
        left, top, right, bottom = np.array(boxes, np.float64).T[:, :, None]
        width, height = right - left, bottom - top
        points = np.tile(self._points, (len(photos), 1))
        values = np.empty((self._features + len(THRESHOLDS), len(photos)), np.int16)
        values[self._features :] = THRESHOLDS[:, None]
        # Reused for every cascade: allocating memory would take longer than the computation.
        operands = np.empty((3, SPLITS, TREES, len(photos)), np.int16)
        first, second, threshold = operands
        changes = np.empty((1 + _GATHERED // points.nbytes, *points.shape), np.float32)
        for anchors, (dx, dy), splits, leaves in self._cascades:
            # Features turn and grow with the landmarks, by the least-squares similarity from the
            # initial landmarks to the present ones, which is a complex number.
            present = points.view(np.complex64)
            factor = (present * self._similarity).sum(axis=1).astype(np.complex64)[:, None]
            anchor = present.take(anchors, axis=1)
            x = (factor.real * dx - factor.imag * dy + anchor.real) * width + left
            y = (factor.imag * dx + factor.real * dy + anchor.imag) * height + top
            values[: self._features] = _intensities(pixels, _rounded(x), _rounded(y)).T
            values.take(splits, 0, operands, mode="clip")
            lefts = np.subtract(first, second, out=first) > threshold
            leaf = self._trees + self._leaf.take(np.einsum("s,stf->tf", self._bits, lefts))
            # The sum goes leaf by leaf in float32, in dlib's order, to be rounded as in dlib.
            for start in range(0, TREES, len(changes) - 1):
                some = leaf[start : start + len(changes) - 1]
                changes[0] = points
                leaves.take(some, 0, changes[1 : 1 + len(some)], mode="clip")
                points = np.add.reduce(changes[: 1 + len(some)], axis=0)
        xs = _rounded(points[:, 0::2] * width + left).tolist()
        ys = _rounded(points[:, 1::2] * height + top).tolist()
        return [
            dlib.full_object_detection(dlib.rectangle(*box), list(map(dlib.point, x, y)))
            for box, x, y in zip(boxes, xs, ys, strict=True)
        ]


def _rounded(places: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(places + 0.5).astype(np.int64)


def _intensities(
    photos: Sequence[NDArray[np.uint8]], x: NDArray[np.int64], y: NDArray[np.int64]
) -> NDArray[np.int16]:
    """Give the mean of red, green and blue, rounded down, (photos, n); 0 outside a photo.

    `x` and `y`, (photos, n), are the places in each photo.
    """
    height, width = np.array([photo.shape[:2] for photo in photos], np.uint64).T[:, :, None]
    colours = np.empty((*x.shape, 3), np.uint8)
    for photo, at, found in zip(photos, y * width.astype(np.int64) + x, colours, strict=True):
        photo.reshape(-1, 3).take(at, 0, found, mode="clip")
    means = np.add(colours[..., 0], colours[..., 1], dtype=np.int16)
    means += colours[..., 2]
    means //= 3
    # As unsigned numbers, negative places are outside as well.
    means *= (x.view(np.uint64) < width) & (y.view(np.uint64) < height)
    return means
