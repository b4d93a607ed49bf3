"""Average linkage (UPGMA) of weighted points, exact up to a cut, without a matrix of all pairs."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 16  # edges at a time


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

    def linkage(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        result = np.empty(len(a))
        for start in range(0, len(a), _CHUNK):
            some = slice(start, start + _CHUNK)
            i, j = a[some], b[some]
            dot = np.einsum("ij,ij->i", self.vector[i], self.vector[j])
            total = self.square[i] * self.weight[j] + self.weight[i] * self.square[j] - 2 * dot
            result[some] = total / (self.count[i] * self.count[j])
        return result

    def merge(self, into: NDArray[np.int64], gone: NDArray[np.int64]) -> None:
        for sums in (self.count, self.weight, self.vector, self.square):
            sums[into] += sums[gone]


def average_linkage(
    points: NDArray[np.float32],
    weights: NDArray[np.float64],
    pairs: NDArray[np.int64],
    cut: float,
) -> NDArray[np.int64]:
    """Give the group of each point: the number of the group's first point, int64 (n,).

    points, float32 (n, d), have weights (n,) > 0; the distance of two points is w_a w_b |a - b|^2.
    `pairs` (m, 2) are candidates: only groups that a pair joins are merged. If every pair below
    the `cut` is given, the groups are those of average linkage over all pairs: where a mean is
    below the cut, one of its pairs is.

    Each round merges all groups that are each other's nearest, which gives the same tree as one
    merge at a time (Murtagh 1983, "A survey of recent advances in hierarchical clustering
    algorithms"). Of equal linkages the pair of the first points counts.
    """
    groups, number = _Groups(points, weights), np.arange(len(points))
    a, b, _ = _sorted_pairs(pairs[:, 0], pairs[:, 1], np.zeros(len(pairs)), len(points))
    linkage = groups.linkage(a, b)
    while (near := linkage < cut).any():
        a, b, linkage = a[near], b[near], linkage[near]
        chosen = _mutual(a, b, linkage, len(points))
        into, gone = a[chosen], b[chosen]
        groups.merge(into, gone)
        target = np.arange(len(points))
        target[gone] = into
        number = target[number]
        changed = np.zeros(len(points), dtype=bool)
        changed[into] = True
        a, b, linkage = _sorted_pairs(target[a], target[b], linkage, len(points))
        stale = changed[a] | changed[b]
        linkage[stale] = groups.linkage(a[stale], b[stale])
    return number


_Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def _sorted_pairs(
    a: NDArray[np.int64], b: NDArray[np.int64], linkage: NDArray[np.float64], count: int
) -> _Pairs:
    """Give each pair once, the lower number first, in order. A pair with itself is left out."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    others = low != high
    key, first = np.unique((low * count + high)[others], return_index=True)
    return key // count, key % count, linkage[others][first]


def _mutual(
    a: NDArray[np.int64], b: NDArray[np.int64], linkage: NDArray[np.float64], count: int
) -> NDArray[np.intp]:
    """Give the pairs in which each group is the other's nearest; of equal ones the first pair."""
    nearest = np.full(count, np.inf)
    first = np.full(count, len(a))
    for ends in (a, b):
        np.minimum.at(nearest, ends, linkage)
    for ends in (a, b):
        ties = np.flatnonzero(linkage == nearest[ends])
        np.minimum.at(first, ends[ties], ties)
    places = np.arange(len(a))
    return np.flatnonzero((first[a] == places) & (first[b] == places))
