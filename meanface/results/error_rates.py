"""Error rates of verification at each threshold: false match rate and false non-match rate.

Terms and definitions are those of ISO/IEC 19795-1 and of NIST's Face Recognition Vendor Test:

* Two photos match if their distance is below the threshold.
* False match rate (FMR): the share of nonmated pairs (two persons) that match.
* False non-match rate (FNMR): the share of mated pairs (one person) that do not match.
* Failure-to-enrol rate (FTE): the share of photos without an embedding. FMR and FNMR leave these
  photos out.

Intervals come from a bootstrap over persons, because pairs that share a person are not independent:
R. M. Bolle, N. K. Ratha and S. Pankanti, "Error analysis of pattern recognition systems - the
subsets bootstrap", Computer Vision and Image Understanding 93 (2004), 1-33. A replicate draws
persons and adds up their counts. No pair is counted again. A pair of two persons belongs to both,
so a replicate of the FMR takes each person's deviation from the mean fully (the first-order part of
a bootstrap of pairs). At the lowest rates, where every false match has two persons of its own, this
makes the interval wider by up to a factor of the square root of 2, never narrower.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meanface.results.pair_counts import BINS, COARSE, STEP, PairCounts

TARGETS = (1e-3, 1e-4, 1e-5, 1e-6)
"""The false match rates at which the false non-match rate is given."""
REPLICATES = 1000
LEVEL = 0.95
"""The level of the intervals, from percentiles of the replicates."""
_SEED = 19795
_SOME = 1 << 22  # weights of persons at a time


@dataclass(frozen=True)
class Curve:
    """The rates at thresholds, each float64 (k,): `interval` holds the lower and upper ends.

    A rate of no pairs is nan.
    """

    threshold: NDArray[np.float64]
    false_matches: NDArray[np.int64]
    fmr: NDArray[np.float64]
    fmr_interval: NDArray[np.float64]
    false_non_matches: NDArray[np.int64]
    fnmr: NDArray[np.float64]
    fnmr_interval: NDArray[np.float64]


@dataclass(frozen=True)
class AtRate:
    """The rates at the highest threshold, a multiple of STEP, whose FMR is at most `target`.

    All but the target are None where there are too few pairs to see such an FMR.
    """

    target: float
    threshold: float | None = None
    false_matches: int | None = None
    fmr: float | None = None
    fnmr: float | None = None
    fnmr_low: float | None = None
    fnmr_high: float | None = None


class ErrorRates:
    """The error rates of counted pairs, and REPLICATES replicates of these rates."""

    def __init__(self, counts: PairCounts) -> None:
        self._counts = counts
        self.mated, self.nonmated = int(counts.mated.sum()), int(counts.nonmated.sum())
        misses, matches = zip(*_replicates(counts), strict=True)
        self._fnmr = np.concatenate(misses)
        self._fmr = np.concatenate(matches)

    def curve(self) -> Curve:
        """Give the rates at every COARSE-th threshold, from the first to the longest distance."""
        edges = np.arange(1, BINS // COARSE + 1) * COARSE
        below_mated = np.cumsum(self._counts.mated)[edges - 1]
        false_matches = np.cumsum(self._counts.nonmated)[edges - 1]
        misses = self.mated - below_mated
        return Curve(
            threshold=np.round(edges * STEP, 4).astype(np.float64),
            false_matches=false_matches,
            fmr=_share(false_matches, self.nonmated),
            fmr_interval=_interval(self._fmr),
            false_non_matches=misses,
            fnmr=_share(misses, self.mated),
            fnmr_interval=_interval(self._fnmr),
        )

    def at(self, target: float) -> AtRate:
        """Give the FNMR at an FMR."""
        if self.nonmated * target < 1 or not self.mated:
            return AtRate(target)
        below = np.cumsum(self._counts.nonmated)
        edge = int(np.searchsorted(below, self.nonmated * target, side="right"))
        matches = int(below[edge - 1]) if edge else 0
        misses = self.mated - int(self._counts.mated[:edge].sum())
        # Each replicate has a threshold of its own. Between thresholds, rates are straight lines.
        fnmr = [
            np.interp(target, np.maximum.accumulate(fmr), fnmr)
            for fmr, fnmr in zip(self._fmr, self._fnmr, strict=True)
        ]
        low, high = _interval(np.array(fnmr)[:, np.newaxis])[:, 0]
        return AtRate(
            target=target,
            threshold=round(edge * STEP, 4),
            false_matches=matches,
            fmr=matches / self.nonmated,
            fnmr=misses / self.mated,
            fnmr_low=float(low),
            fnmr_high=float(high),
        )

    def at_threshold(self, threshold: float) -> dict[str, float | int | None]:
        """Give the rates of these pairs at a multiple of STEP; None for a rate of no pairs."""
        edge = round(threshold / STEP)
        matches = int(self._counts.nonmated[:edge].sum())
        misses = int(self._counts.mated[edge:].sum())
        return {
            "threshold": threshold,
            "false_matches": matches,
            "fmr": matches / self.nonmated if self.nonmated else None,
            "false_non_matches": misses,
            "fnmr": misses / self.mated if self.mated else None,
        }

    def equal_error_rate(self) -> float | None:
        """Give the mean of FMR and FNMR where they are nearest to each other."""
        if not (self.mated and self.nonmated):
            return None
        fmr = np.cumsum(self._counts.nonmated) / self.nonmated
        fnmr = 1 - np.cumsum(self._counts.mated) / self.mated
        nearest = int(np.argmin(np.abs(fmr - fnmr)))
        return float(fmr[nearest] + fnmr[nearest]) / 2


def rate_with_interval(
    failed: NDArray[np.int64], photos: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Give the share of `failed` in `photos`, by person (k,), and its bootstrap interval."""
    shares = [_share(weights @ failed, weights @ photos) for weights in _weights(len(photos))]
    low, high = _interval(np.concatenate(shares)[:, np.newaxis])[:, 0]
    return float(failed.sum() / photos.sum()), float(low), float(high)


def _replicates(counts: PairCounts) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the FNMR and FMR of some replicates, each (replicates, thresholds)."""
    mated = np.cumsum(counts.mated_by_person, axis=1)
    nonmated = np.cumsum(counts.nonmated_by_person, axis=1)
    matches = nonmated.sum(axis=0) / 2
    # Sums of integers below 2**53 are exact in float64, in whatever order BLAS adds them.
    per_person = mated.astype(np.float64), nonmated.astype(np.float64)
    for weights in _weights(len(mated)):
        own, others = (weights @ table for table in per_person)
        others = np.maximum(others - matches, 0)
        yield 1 - _share(own, own[:, -1:]), _share(others, others[:, -1:])


def _weights(persons: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each replicate draws each person, float64 (some replicates, persons)."""
    rng = np.random.default_rng(_SEED)
    some = max(_SOME // max(persons, 1), 1)
    for start in range(0, REPLICATES, some):
        size = min(some, REPLICATES - start)
        draws = rng.integers(0, persons, (size, persons))
        draws += np.arange(size)[:, np.newaxis] * persons
        drawn = np.bincount(draws.ravel(), minlength=size * persons)
        yield drawn.reshape(size, persons).astype(np.float64)


def _share(
    part: NDArray[np.float64] | NDArray[np.int64], whole: NDArray[np.float64] | int
) -> NDArray[np.float64]:
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    shares = np.full(shape, np.nan)
    np.divide(part, whole, out=shares, where=np.asarray(whole) > 0)
    return shares


def _interval(replicates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the lower and upper ends (2, k) of replicates (r, k)."""
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    interval = np.full((2, replicates.shape[1]), np.nan)
    for i, column in enumerate(replicates.T):
        # A replicate that drew no person with pairs has no rate.
        if len(known := column[~np.isnan(column)]):
            interval[:, i] = np.quantile(known, ends)
    return interval
