"""The table and the summary of two sets."""

import numpy as np
import pandas as pd
import pytest

from meanface.errors import UserError
from meanface.results.compared_sets import Results, compare
from meanface.results.statistics import Statistics
from tests.unit.results.test_pair_counts import people


def results_of(vectors: np.ndarray, identity: "pd.Series[str]") -> Results:
    mean, covariance = vectors.astype(float).mean(axis=0), np.cov(vectors.astype(float).T)
    nothing = np.zeros_like(mean)
    statistics = Statistics(len(vectors), mean, mean, nothing, covariance, nothing, nothing)
    return Results(len(vectors), "", identity, vectors, statistics, set())


@pytest.mark.parametrize("seed", range(4))
def test_equal_sets_are_0_apart_and_never_minus_0(seed: int) -> None:
    vectors, codes = people([3, 1, 2, 4, 2], seed=seed)
    one = results_of(vectors, pd.Series([f"person {code}" for code in codes]))
    rows, summary = compare(one, one)
    value = {str(row[0]): row[1] for row in rows}
    assert value["mmd"] == "0"
    assert str(summary["mmd"]["squared"]) == "0.0"


def test_a_set_of_one_person_is_refused_by_its_side() -> None:
    vectors, codes = people([3, 1, 2])
    several = results_of(vectors, pd.Series([f"person {code}" for code in codes]))
    one = results_of(vectors, pd.Series(["party"] * len(vectors)))
    with pytest.raises(UserError, match="these results have 3, `other` has 1; put each"):
        compare(several, one)
    with pytest.raises(UserError, match="these results have 1, `other` has 3; put each"):
        compare(one, several)
