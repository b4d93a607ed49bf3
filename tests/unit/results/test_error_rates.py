"""Error rates against counting by hand; intervals against drawing new sets of persons."""

import math

import numpy as np
import pytest

from meanface.results.error_rates import ErrorRates, rate_with_interval
from meanface.results.pair_counts import BINS, COARSE, PairCounts, count_pairs
from tests.unit.results.test_pair_counts import people


def counted(mated: dict[int, int], nonmated: dict[int, int]) -> PairCounts:
    """Pairs by bin; the first person has all mated pairs, and one of each nonmated pair."""
    bins = np.zeros((2, BINS), np.int64)
    for row, pairs in zip(bins, (mated, nonmated), strict=True):
        row[list(pairs)] = list(pairs.values())
    coarse = bins.reshape(2, -1, COARSE).sum(axis=2)
    return PairCounts(
        bins[0], bins[1], np.stack([coarse[0], coarse[0] * 0]), np.stack([coarse[1]] * 2)
    )


def test_rates_by_hand() -> None:
    """Distances 0.3, 0.4, 0.7 of one person; 0.5 once, 0.6 nine times and 0.9 990 times of two."""
    rates = ErrorRates(counted({3000: 1, 4000: 2, 7000: 1}, {5000: 1, 6000: 9, 9000: 990}))
    at = rates.at(1e-3)
    assert (at.threshold, at.false_matches, at.fmr, at.fnmr) == (0.6, 1, 0.001, 0.25)
    assert rates.at(1e-2).threshold == 0.9
    assert rates.at(1e-4).fnmr is None, "1,000 pairs cannot show it"
    curve = rates.curve()
    place = {threshold: i for i, threshold in enumerate(curve.threshold)}
    assert curve.fmr[place[0.5]] == 0, "a distance at the threshold is not below it"
    assert curve.fmr[place[0.505]] == 0.001
    assert curve.fnmr[place[0.4]] == 0.75
    assert curve.fnmr[place[0.405]] == 0.25
    assert curve.fnmr[place[0.705]] == 0
    assert rates.at_threshold(0.65) == {
        "threshold": 0.65,
        "false_matches": 10,
        "fmr": 0.01,
        "false_non_matches": 1,
        "fnmr": 0.25,
    }
    assert rates.equal_error_rate() == pytest.approx((0.01 + 0) / 2)


def test_rates_of_no_pairs_are_unknown() -> None:
    rates = ErrorRates(count_pairs(np.eye(3, 128, dtype=np.float32), np.arange(3)))
    assert rates.at(0.5).fnmr is None
    assert np.isnan(rates.curve().fnmr).all()
    assert rates.equal_error_rate() is None
    assert rates.at_threshold(0.5)["fnmr"] is None


def test_intervals_hold_the_true_rates_of_new_persons_about_as_often_as_they_say() -> None:
    """Sets of 60 persons from one source. Chance alone leaves an interval 5 % of the time."""
    truth = ErrorRates(count_pairs(*people([4] * 1500, seed=99)))
    k_own, k_others = (round(threshold / 0.005) - 1 for threshold in (0.5, 0.9))
    true_fnmr = truth.curve().fnmr[k_own]
    true_fmr = truth.curve().fmr[k_others]
    held = np.zeros(2)
    for seed in range(100):
        curve = ErrorRates(count_pairs(*people([4] * 60, seed=seed))).curve()
        low, high = curve.fnmr_interval[:, k_own]
        held[0] += low <= true_fnmr <= high
        low, high = curve.fmr_interval[:, k_others]
        held[1] += low <= true_fmr <= high
    # 100 tries of 95 %: fewer than 86 happen once in 10,000 times. The bootstrap itself is rough.
    assert 0.1 < true_fnmr < 0.9
    assert 1e-5 < true_fmr < 1e-2
    assert (held >= 84).all(), held


def test_a_person_with_many_photos_makes_intervals_wide() -> None:
    """Pairs of one person are no independent samples: the interval is far from the binomial one."""
    vectors, persons = people([30] * 20, seed=4)
    rates = ErrorRates(count_pairs(vectors, persons))
    curve = rates.curve()
    k = int(np.argmin(np.abs(curve.fmr - 0.01)))
    low, high = curve.fmr_interval[:, k]
    binomial = 2 * 1.96 * math.sqrt(curve.fmr[k] * (1 - curve.fmr[k]) / rates.nonmated)
    assert high - low > 3 * binomial


def test_the_rate_of_failures_has_an_interval_by_person() -> None:
    photos = np.full(50, 4)
    failed = np.zeros(50, int)
    failed[0] = 4
    rate, low, high = rate_with_interval(failed, photos)
    assert rate == 0.02
    assert low == 0
    assert 0.04 <= high <= 0.08
