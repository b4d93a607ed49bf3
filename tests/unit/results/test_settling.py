"""How the mean settles, against math.fsum and shuffling."""

import math

import numpy as np
import pytest

from meanface.files.schemas import SETTLING
from meanface.results.exact_moments import ExactMoments
from meanface.results.settling import chance, settling, settling_curve
from meanface.results.statistics import statistics_of

RNG = np.random.default_rng(1)
EMBEDDINGS = RNG.normal(size=(500, 128)).astype(np.float32)
MEAN = EMBEDDINGS.astype(float).mean(axis=0)


def test_how_the_mean_settles() -> None:
    counts = [1, 2, 3, 50, 499, 500]
    expected = [
        math.dist([math.fsum(column) / k for column in EMBEDDINGS[:k].T.tolist()], MEAN)
        for k in counts
    ]
    assert settling(EMBEDDINGS, MEAN, counts) == pytest.approx(expected, abs=1e-12)
    assert settling(EMBEDDINGS[:7], MEAN, [7]) == pytest.approx(
        [math.dist(EMBEDDINGS[:7].astype(float).mean(axis=0), MEAN)], abs=1e-12
    )
    assert settling(EMBEDDINGS, MEAN, [500])[0] < 1e-12


def test_what_chance_lets_expect_is_what_shuffling_gives() -> None:
    counts = np.array([1, 10, 100, 400, 500])
    squares = np.mean(
        [settling(RNG.permutation(EMBEDDINGS), MEAN, counts.tolist()) ** 2 for _ in range(200)],
        axis=0,
    )
    expected = chance(np.cov(EMBEDDINGS.T), 500, counts)
    assert expected == pytest.approx(np.sqrt(squares), rel=0.03, abs=1e-9)
    assert expected[-1] == 0


def test_the_curve_of_some_rows() -> None:
    rows = np.arange(0, 500, 2)
    moments = ExactMoments(128)
    moments.add(EMBEDDINGS[rows])
    statistics = statistics_of(moments)
    curve = settling_curve(EMBEDDINGS, rows, statistics, most=1000, points=40)
    assert curve.columns.tolist() == list(SETTLING)
    counts = curve["faces"].tolist()
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1]) == (1, 250)
    assert len(counts) <= 40
    assert curve["distance"].iloc[-1] < 1e-12
    # The first distance is that of one of the rows.
    alone = np.linalg.norm(EMBEDDINGS[rows].astype(float) - statistics.mean, axis=1)
    assert np.abs(alone - curve["distance"].iloc[0]).min() < 1e-12
    expected = chance(statistics.covariance, 250, np.array(counts))
    assert curve["chance"].tolist() == expected.tolist()
    few = settling_curve(EMBEDDINGS, rows, statistics, most=100, points=40)
    assert few["faces"].iloc[-1] == 100
    assert few["distance"].iloc[-1] > 0.01
