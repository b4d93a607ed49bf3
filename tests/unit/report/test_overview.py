"""The numbers at the beginning of the report, against numpy."""

import numpy as np
import pandas as pd

from meanface.report.overview import overview
from meanface.results.exact_moments import ExactMoments
from meanface.results.statistics import Statistics, statistics_of

SUMMARY = {
    "sources": {"a": {"name": "a.zip"}, "b": {"name": "b"}},
    "photos": 12,
    "encoded": 10,
    "failed": 2,
    "failed_by_reason": {"no_face": 1, "truncated": 1},
    "faces_by_detector": {"hog@0": 9, "cnn@0": 1},
    "photos_per_second": 3.14159,
    "versions": {"meanface": "1.2.3"},
}
VECTORS = np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32)


def statistics(rows: int) -> Statistics:
    moments = ExactMoments(4)
    moments.add(VECTORS[:rows])
    return statistics_of(moments)


def test_the_numbers_of_a_run() -> None:
    people = pd.Series(["", "Ann", "Bob"])
    distances = pd.Series([0.1, 0.5, 0.25])
    wide = VECTORS.astype(float)
    variances = np.linalg.eigvalsh(np.cov(wide.T))[::-1]
    assert overview(SUMMARY, statistics(10), people, distances, paths=True) == {
        "source": "a.zip, b",
        "photos": 12,
        "encoded": 10,
        "failed": 2,
        "failed: no_face": 1,
        "failed: truncated": 1,
        "faces in the mean": 10,
        "faces found by hog@0": 9,
        "faces found by cnn@0": 1,
        "people": 2,
        "length of the mean": round(float(np.linalg.norm(wide.mean(axis=0))), 4),
        "median distance of a face to the mean": 0.25,
        "standard error of the mean, a distance": round(
            float(np.linalg.norm(wide.std(axis=0, ddof=1) / np.sqrt(10))), 4
        ),
        "share of the variance in two directions, %": round(
            float(100 * variances[:2].sum() / variances.sum()), 1
        ),
        "photos per second and encode job": 3.1,
        "meanface": "1.2.3",
    }


def test_a_single_face_has_no_scatter_and_a_cached_run_no_speed() -> None:
    summary = SUMMARY | {"photos_per_second": None}
    numbers = overview(summary, statistics(1), pd.Series(["Ann"]), pd.Series([0.0]), paths=False)
    assert not [name for name in numbers if "error" in name or "per second" in name]
    assert numbers["faces in the mean"] == 1
