"""dlib's files of 5 and 68 landmarks, parsed: the arrays that the engines compute with."""

import re

import numpy as np
from numpy.typing import NDArray

from meanface.engine.landmarks import (
    CASCADES,
    LEAVES,
    SPLITS,
    THRESHOLDS,
    TREES,
    model_of,
)


def read_landmarks(data: bytes, points: int, features: int) -> NDArray[np.void]:
    """Parse a predictor, as dlib saves it, into an array () of the type model_of.

    The file holds the initial landmarks, the trees, the anchors and the deltas, in this order.
    Numbers have no fixed length: the place of the next number is known only when a number has been
    read. To be fast, many places are read at once: all leaves of a cascade, all trees, all
    cascades.
    """
    model = np.zeros((), model_of(points, features))
    cascades = model["cascades"]
    # These bytes begin a column of 2 * points numbers, and a list of all features.
    column = re.escape(bytes([0x81, 2 * points, 0x81, 1]))
    begin_list = b"\x02" + re.escape(features.to_bytes(2, "little"))
    words = np.ndarray(len(data), "<i8", data + bytes(8), strides=(1,))
    columns = np.array([match.end() for match in re.finditer(column, data)])

    initial = _Reader(words, columns[:1])
    for i in range(2 * points):
        model["points"][i] = initial.real()[0]
    ends = [initial.at]
    for cascade, places in zip(cascades, np.split(columns[1:], CASCADES), strict=True):
        leaves = _Reader(words, places)
        for i in range(2 * points):
            cascade["leaves"][:, i] = leaves.real()
        ends.append(leaves.at)

    # The splits of a tree follow the last leaf of the tree before.
    places = np.concatenate(ends)[::LEAVES]
    trees = _Reader(words, places[:-1])
    trees.at[0] += 2  # the number of cascades
    trees.at[::TREES] += 3  # the number of trees
    trees.integer()  # the number of splits
    for i in range(SPLITS):
        split = cascades["splits"][:, :, i]
        for which in range(2):
            split[:, which] = trees.integer().reshape(CASCADES, TREES)
        threshold = np.floor(trees.real()) - THRESHOLDS[0]
        split[:, 2] = (features + threshold).reshape(CASCADES, TREES)

    lists = np.array(
        [places[-1] + one.end() for one in re.finditer(begin_list, data[places[-1] :])]
    )
    anchors, deltas = (_Reader(words, places) for places in np.split(lists, 2))
    for i in range(features):
        cascades["anchors"][:, i] = anchors.integer()
        for axis in range(2):
            cascades["deltas"][:, axis, i] = deltas.real()
    return model


class _Reader:
    """Reads a file of dlib at many places (n,) at once: serialize.h, float_details.h."""

    def __init__(self, words: NDArray[np.int64], at: NDArray[np.int64]) -> None:
        """Begin at the places `at`. `words` has the eight bytes that begin at each byte."""
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
    """Give the integers at the beginning of the words, and their lengths in bytes.

    The first byte holds the sign, 0x80, and the number of bytes that follow.
    """
    size = words & 0x0F
    sign = 1 - (words >> 6 & 2)
    return (words >> 8 & _MASKS.take(size)) * sign, size + 1
