"""Count the distances of all pairs of photos, exactly: the same numbers on any processor and cores.

Embeddings are rounded to 22 bits, so that BLAS adds their products without rounding in any order.
A distance of dlib's embeddings changes by less than 3e-6.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_BITS = 22  # products have 44 bits, sums of 128 products 51, squared distances 53
STEP = 0.0001
"""The width of a bin of distances."""
LONGEST = 2.0
"""Longer distances are counted in the last bin."""
BINS = round(LONGEST / STEP)
COARSE = 50
"""Bins of a person are COARSE times as wide."""
_TILE = 1 << 20  # pairs at a time


@dataclass(frozen=True)
class PairCounts:
    """How many pairs of photos have which distance; mated pairs show one person.

    * `mated` and `nonmated`, int64 (BINS,): bin i has the distances from i * STEP, exclusive of the
      next bin.
    * `mated_by_person` and `nonmated_by_person`, int64 (persons, BINS / COARSE): the pairs of each
      person with the own photos, and with those of others. A pair of two persons counts for both.
    """

    mated: NDArray[np.int64]
    nonmated: NDArray[np.int64]
    mated_by_person: NDArray[np.int64]
    nonmated_by_person: NDArray[np.int64]


def count_pairs(embeddings: NDArray[np.float32], persons: NDArray[np.intp]) -> PairCounts:
    """Count the pairs of embeddings (n, d), each of the person with the number persons[i].

    Persons are numbered from 0, without gaps. Takes time for n * n pairs, and memory for n rows.
    """
    order = np.argsort(persons, kind="stable")
    codes = persons[order]
    rows, unit = _rounded(np.asarray(embeddings)[order])
    count = int(codes[-1]) + 1 if len(codes) else 0
    total = np.zeros(BINS, np.int64)
    everyone = np.zeros((count, BINS // COARSE), np.int64)
    for part, bins in _bins(rows, rows, unit):
        total += np.bincount(bins.ravel(), minlength=BINS)
        np.add.at(everyone, codes[part], _by_row(bins))
    own_total = np.zeros(BINS, np.int64)
    own = np.zeros_like(everyone)
    starts = np.searchsorted(codes, np.arange(count + 1))
    for person, (start, end) in enumerate(pairwise(starts)):
        theirs = rows[start:end]
        for _, bins in _bins(theirs, theirs, unit):
            own_total += np.bincount(bins.ravel(), minlength=BINS)
            own[person] += _by_row(bins).sum(axis=0)
    nonmated, nonmated_by_person = (total - own_total) // 2, everyone - own
    own_total[0] -= len(codes)  # a photo is no pair with itself
    own[:, 0] -= np.diff(starts)
    return PairCounts(own_total // 2, nonmated, own // 2, nonmated_by_person)


def _rounded(embeddings: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Give embeddings as integers of up to 22 bits, and the unit of these integers."""
    largest = float(np.abs(embeddings).max(initial=0))
    unit = 2.0 ** (math.frexp(largest)[1] - _BITS)
    return np.rint(embeddings.astype(np.float64) / unit), unit


def _bins(
    first: NDArray[np.float64], second: NDArray[np.float64], unit: float
) -> Iterator[tuple[slice, NDArray[np.int32]]]:
    """Yield the bins of the distances between two sets, for some rows of `first` at a time."""
    lengths = np.square(first).sum(axis=1), np.square(second).sum(axis=1)
    height = min(512, max(len(first), 1))
    width = _TILE // height
    for top in range(0, len(first), height):
        rows = slice(top, top + height)
        for left in range(0, len(second), width):
            columns = slice(left, left + width)
            squares = first[rows] @ second[columns].T
            squares *= -2
            squares += lengths[0][rows, np.newaxis]
            squares += lengths[1][columns]
            np.sqrt(squares, out=squares)
            squares *= unit / STEP
            np.minimum(squares, BINS - 1, out=squares)
            yield rows, squares.astype(np.int32)


def _by_row(bins: NDArray[np.int32]) -> NDArray[np.int64]:
    """Count the coarse bins of each row, int64 (rows, BINS / COARSE)."""
    width = BINS // COARSE
    places = bins // COARSE
    places += np.arange(len(bins), dtype=np.int32)[:, np.newaxis] * width
    return np.bincount(places.ravel(), minlength=len(bins) * width).reshape(-1, width)
