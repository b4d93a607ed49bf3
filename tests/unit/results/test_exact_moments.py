"""Exact sums of products, against fractions."""

import operator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from meanface.results.exact_moments import ExactMoments
from meanface.results.exact_sum import ExactSum
from meanface.results.statistics import statistics_of

any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def moments(*parts: NDArray[np.float32]) -> ExactMoments:
    result = ExactMoments(parts[0].shape[1])
    for part in parts:
        result.add(part)
    return result


def exact_covariance(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The sample covariance in fractions, rounded once."""
    columns = [[Fraction(value) for value in column] for column in vectors.T.tolist()]
    count = len(vectors)

    def covariance(a: list[Fraction], b: list[Fraction]) -> float:
        return float((sum(map(operator.mul, a, b)) - sum(a) * sum(b) / count) / (count - 1))

    return np.array([[covariance(a, b) for b in columns] for a in columns])


@given(
    vectors=hnp.arrays(np.float32, st.tuples(st.integers(2, 20), st.just(3)), elements=any_float32),
    cut=st.integers(0, 20),
    shuffle=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_covariance_and_mean_are_exact_in_any_order_and_split(
    vectors: NDArray[np.float32], cut: int, shuffle: "np.random.Generator"
) -> None:
    rows = list(range(len(vectors)))
    shuffle.shuffle(rows)
    result = statistics_of(moments(vectors[rows][:cut], vectors[rows][cut:]))
    assert result.covariance.tobytes() == exact_covariance(vectors).tobytes()
    total = ExactSum(3)
    total.add(vectors)
    assert result.mean.tobytes() == total.mean().tobytes()
    assert result.count == len(vectors)


def test_the_largest_products_of_a_full_chunk_are_exact() -> None:
    """Numbers a little below 1, all of one sign, have the largest sums, in all their bits."""
    vectors = np.random.default_rng(4).uniform(0.99, 1, (17_000, 2)).astype(np.float32)
    vectors[::3, 1] *= np.float32(-(2.0**-20))
    vectors[-1] = 2.0**-60
    result = moments(vectors).covariance()
    assert result.tobytes() == exact_covariance(vectors).tobytes()


def test_a_scatter_far_smaller_than_the_mean_is_not_lost() -> None:
    vectors = np.full((1000, 2), 4096, dtype=np.float32)
    vectors[::2] += np.float32(2.0**-11)
    expected = 2.0**-24 * 1000 / 999
    assert np.array_equal(moments(vectors).covariance(), np.full((2, 2), expected))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        moments(np.array([[0, wrong]], dtype=np.float32))
