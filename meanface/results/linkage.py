"""Average linkage (UPGMA) of weighted points, exact up to a cut, without a matrix of all pairs."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 12  # pairs whose vectors are in memory at a time
_AT_ONCE = 1 << 22  # pairs at a time whose vectors are not needed

Places: TypeAlias = NDArray[np.int32]


class _Groups:
    """Sums from which the linkage of two groups follows: no pair of points is visited again.

    The linkage is the mean over all pairs of w_a w_b |a - b|^2. That mean follows from each
    group's sums of w, w a, w |a|^2 and 1.
    """

    def __init__(self, points: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        self.count = np.ones(len(points))
        self.weight = weights.copy()
        # Float64 near the origin loses next to nothing where the sums cancel.
        self.vector = points.astype(np.float64)
        self.vector -= points[0]
        self.square = weights * np.einsum("ij,ij->i", self.vector, self.vector)
        self.vector *= weights[:, None]

    def linkage(self, a: Places, b: Places) -> NDArray[np.float64]:
        result = np.empty(len(a))
        for start in range(0, len(a), _CHUNK):
            some = slice(start, start + _CHUNK)
            i, j = a[some], b[some]
            dot = np.einsum("ij,ij->i", self.vector[i], self.vector[j])
            total = self.square[i] * self.weight[j] + self.weight[i] * self.square[j] - 2 * dot
            result[some] = total / (self.count[i] * self.count[j])
        return result

    def merge(self, into: Places, gone: Places) -> None:
        for start in range(0, len(into), _CHUNK):
            some = slice(start, start + _CHUNK)
            for sums in (self.count, self.weight, self.vector, self.square):
                sums[into[some]] += sums[gone[some]]


def average_linkage(
    points: NDArray[np.float32],
    weights: NDArray[np.float64],
    pairs: Iterable[NDArray[np.int64]],
    cut: float,
) -> NDArray[np.int64]:
    """Give the group of each point: the number of the group's first point, int64 (n,).

    points, float32 (n, d), have weights (n,) > 0; the distance of two points is w_a w_b |a - b|^2.
    `pairs` are arrays (m, 2) of candidates: only groups that a pair joins are merged. If every pair
    below the `cut` is given, the groups are those of average linkage over all pairs: where a mean
    is below the cut, one of its pairs is.

    Each round merges all groups that are each other's nearest, which gives the same tree as one
    merge at a time (Murtagh 1983, "A survey of recent advances in hierarchical clustering
    algorithms"). Of equal linkages the pair of the first points counts. Memory grows by 8 d bytes
    per point and 32 bytes per pair.
    """
    count = len(points)
    a, b = _different((_keys(one[:, 0], one[:, 1], count) for one in pairs), count)
    groups, number = _Groups(points, weights), np.arange(count)
    linkage = groups.linkage(a, b)
    while (near := linkage < cut).any():
        # One statement each, so that an old array is freed before the next new one is made.
        a = a[near]
        b = b[near]
        linkage = linkage[near]
        into, gone = _mutual(a, b, linkage, count)
        groups.merge(into, gone)
        target = np.arange(count)
        target[gone] = into
        number = target[number]
        changed = np.zeros(count, dtype=bool)
        changed[into] = changed[gone] = True
        stale = changed[a] | changed[b]
        again = [
            _keys(target[a[part][stale[part]]], target[b[part][stale[part]]], count)
            for part in _parts(len(a))
        ]
        kept = ~stale
        a = a[kept]
        b = b[kept]
        linkage = linkage[kept]
        new_a, new_b = _different(again, count)
        a = np.concatenate([a, new_a])
        b = np.concatenate([b, new_b])
        linkage = np.concatenate([linkage, groups.linkage(new_a, new_b)])
    return number


def _keys(a: NDArray[Any], b: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Give each pair as one number, whatever its direction. A pair with itself is left out."""
    others = a != b
    a, b = a[others].astype(np.int64), b[others].astype(np.int64)
    return np.asarray(np.minimum(a, b) * count + np.maximum(a, b))


def _different(keys: Iterable[NDArray[np.int64]], count: int) -> tuple[Places, Places]:
    """Give each pair of the keys once, the lower number first, in order."""
    every = _joined(keys)
    every.sort()  # numpy.unique would take twice the memory
    is_new = np.ones(len(every), dtype=bool)
    is_new[1:] = every[1:] != every[:-1]
    every = every[is_new]
    high = (every % count).astype(np.int32)
    every //= count
    return every.astype(np.int32), high


def _joined(keys: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Join arrays in a growing buffer. numpy.concatenate would take twice the memory."""
    buffer = bytearray()
    for some in keys:
        buffer += some.tobytes()
    return np.frombuffer(buffer, np.int64)


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)]


def _mutual(
    a: Places, b: Places, linkage: NDArray[np.float64], count: int
) -> tuple[Places, Places]:
    """Give the pairs in which each group is the other's nearest; of equal ones the first pair."""
    nearest = np.full(count, np.inf)
    for part in _parts(len(a)):
        for ends in (a[part], b[part]):
            np.minimum.at(nearest, ends, linkage[part])
    mutual = np.concatenate(
        [
            part.start
            + np.flatnonzero(linkage[part] == np.minimum(nearest[a[part]], nearest[b[part]]))
            for part in _parts(len(a))
        ]
    )
    a, b = a[mutual], b[mutual]
    order = np.lexsort((b, a))
    a, b, places = a[order], b[order], np.arange(len(order))
    first = np.full(count, len(order))
    for ends in (a, b):
        np.minimum.at(first, ends, places)
    is_first = (first[a] == places) & (first[b] == places)
    return a[is_first], b[is_first]
