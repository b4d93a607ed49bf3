"""Two sets compared: against exact kernels, closed formulas, and many splits of one set."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg, stats

from meanface.results.comparison import (
    discrepancy,
    distance_of_means,
    frechet_distance,
    kernel_scale,
    person_means,
)
from tests.unit.results.test_pair_counts import people

Codes = tuple[NDArray[np.intp], NDArray[np.intp]]


def split(
    seed: int, persons: int, in_both: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], Codes]:
    """One set of clustered photos, split at random by person; some persons are in both halves."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, persons).tolist()
    vectors, codes = people(sizes, seed=seed + 1000)
    side = rng.integers(0, 2, persons).astype(bool)
    chosen = side[codes]
    shared = codes < in_both
    chosen[shared] = rng.integers(0, 2, int(shared.sum())).astype(bool)
    return vectors[chosen], vectors[~chosen], renumbered(codes[chosen], codes[~chosen])


def renumbered(first: NDArray[np.intp], second: NDArray[np.intp]) -> Codes:
    codes = np.unique(np.concatenate([first, second]), return_inverse=True)[1]
    return codes[: len(first)], codes[len(first) :]


def exact_mmd(a: NDArray[np.float32], b: NDArray[np.float32], codes: Codes) -> float:
    """The unbiased squared MMD by person, with the kernel itself, pair by pair."""
    scale = kernel_scale(a, b)
    rows, every = np.concatenate([a, b]).astype(float), np.concatenate(codes)
    distance = np.square(rows[:, None] - rows).sum(axis=2)
    kernel = np.exp(-distance / (2 * scale**2))
    side = np.repeat([0, 1], [len(a), len(b)])
    units = sorted(set(zip(every.tolist(), side.tolist(), strict=True)))
    weights = np.array([(every == p) & (side == s) for p, s in units], float)
    weights /= weights.sum(axis=1, keepdims=True)
    between = weights @ kernel @ weights.T
    person, of = np.array(units).T
    apart = person[:, None] != person
    total = 0.0
    for s, t, sign in ((0, 0, 1), (1, 1, 1), (0, 1, -2)):
        pairs = apart & (of[:, None] == s) & (of == t)
        total += sign * between[pairs].mean()
    return float(total)


def test_the_discrepancy_is_near_that_of_the_exact_kernel() -> None:
    for in_both in (0, 12):
        a, b, codes = split(3, 60, in_both)
        b += np.float32(0.03)
        found = discrepancy(a, b, codes, permutations=1)
        # Random features stray by about 1 / sqrt(256) of what they estimate.
        assert found.squared == pytest.approx(exact_mmd(a, b, codes), rel=0.2)


@pytest.mark.parametrize("in_both", [0, 15])
def test_p_is_uniform_for_random_splits_of_one_set(in_both: int) -> None:
    values = []
    for seed in range(100):
        a, b, codes = split(seed, 40, in_both)
        values.append(discrepancy(a, b, codes, permutations=199).p_value)
    assert stats.kstest(values, "uniform").pvalue > 0.001
    assert sum(value <= 0.05 for value in values) <= 14


def test_photos_as_independent_samples_would_not_be_uniform() -> None:
    """Why persons are permuted: with photos, chance is called a difference much too often."""
    values = []
    for seed in range(60):
        a, b, _ = split(seed, 40)
        photos = np.arange(len(a)), len(a) + np.arange(len(b))
        values.append(discrepancy(a, b, photos, permutations=199).p_value)
    assert sum(value <= 0.05 for value in values) > 20


def test_a_shift_of_all_persons_is_seen() -> None:
    a, b, codes = split(1, 200)
    shift = np.random.default_rng(1).normal(0, 0.02, 128).astype(np.float32)
    found = discrepancy(a, b + shift, codes)
    assert found.p_value < 0.001
    persons = person_means(a, b + shift, codes)
    distance = distance_of_means(persons)
    assert distance.low < np.linalg.norm(shift.astype(float)) < distance.high
    assert distance.low > 0


def test_the_interval_of_the_distance_holds_the_true_one_as_often_as_it_says() -> None:
    shift = np.random.default_rng(1).normal(0, 0.01, 128).astype(np.float32)
    true = np.linalg.norm(shift.astype(float))
    held = 0
    for seed in range(200):
        a, b, codes = split(seed, 80, in_both=seed % 3 * 10)
        distance = distance_of_means(person_means(a, b + shift, codes))
        held += int(distance.low <= true <= distance.high)
    assert held >= 178  # 190 expected; fewer than 178 once in 10,000 times


def test_the_frechet_distance_is_that_of_the_matrix_root() -> None:
    rng = np.random.default_rng(1)
    roots = rng.normal(size=(2, 6, 6))
    means = rng.normal(size=(2, 6))
    first, second = (root @ root.T for root in roots)
    expected = np.square(means[0] - means[1]).sum() + np.trace(
        first + second - 2 * linalg.sqrtm(first @ second).real
    )
    found = frechet_distance((means[0], means[1]), (first, second))
    assert found == pytest.approx(expected, rel=1e-9)
    assert frechet_distance((means[0], means[0]), (first, first)) == pytest.approx(0, abs=1e-9)


def test_one_person_is_no_set() -> None:
    vectors = np.zeros((3, 128), np.float32)
    with pytest.raises(ValueError, match="fewer than two persons"):
        discrepancy(vectors, vectors, (np.zeros(3, int), np.array([1, 2, 2])))
