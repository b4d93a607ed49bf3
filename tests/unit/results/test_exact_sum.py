"""The exact mean, against math.fsum."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from meanface.results.exact_sum import ExactSum

any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def fsum_mean(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    columns = vectors.astype(np.float64).T
    return np.array([math.fsum(column) / len(vectors) for column in columns])


@given(
    vectors=hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=any_float32),
    cut=st.integers(0, 40),
    shuffle=st.randoms(use_true_random=False),
)
def test_any_order_and_split_gives_the_bits_of_fsum(
    vectors: NDArray[np.float32], cut: int, shuffle: "np.random.Generator"
) -> None:
    rows = list(range(len(vectors)))
    shuffle.shuffle(rows)
    total = ExactSum(3)
    total.add(vectors[rows][:cut])
    total.add(vectors[rows][cut:])
    assert total.mean().tobytes() == (fsum_mean(vectors) + 0.0).tobytes()


def test_a_large_set_that_naive_summation_gets_wrong() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(0, 0.1, (150_000, 4)).astype(np.float32)
    vectors[0] = 1e10
    vectors[-1] = -1e10
    total = ExactSum(4)
    total.add(vectors)
    assert np.array_equal(total.mean(), fsum_mean(vectors))
    assert not np.array_equal(np.add.accumulate(vectors)[-1] / len(vectors), fsum_mean(vectors))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        ExactSum(2).add(np.array([[0, wrong]], dtype=np.float32))


def test_no_vectors_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no vectors"):
        ExactSum(2).mean()
