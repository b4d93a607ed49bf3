"""The table and the summary of two sets."""

import numpy as np
import pandas as pd
import pytest

from meanface.results.compared_sets import Results, compare
from meanface.results.statistics import Statistics
from tests.unit.results.test_pair_counts import people


@pytest.mark.parametrize("seed", range(4))
def test_equal_sets_are_0_apart_and_never_minus_0(seed: int) -> None:
    vectors, codes = people([3, 1, 2, 4, 2], seed=seed)
    mean, covariance = vectors.astype(float).mean(axis=0), np.cov(vectors.astype(float).T)
    nothing = np.zeros_like(mean)
    statistics = Statistics(len(vectors), mean, mean, nothing, covariance, nothing, nothing)
    identity = pd.Series([f"person {code}" for code in codes])
    one = Results(len(vectors), "", identity, vectors, statistics, set())
    rows, summary = compare(one, one)
    value = {str(row[0]): row[1] for row in rows}
    assert value["mmd"] == "0"
    assert str(summary["mmd"]["squared"]) == "0.0"
