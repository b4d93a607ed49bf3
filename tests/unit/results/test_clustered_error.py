"""The standard error by person, against a bootstrap of persons and the textbook's formula."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from meanface.results.clustered_error import clustered_error
from meanface.results.exact_moments import ExactMoments
from meanface.results.statistics import read_statistics
from tests.unit.results.test_statistics import merged, written


def clustered_set(seed: int, persons: int) -> tuple[NDArray[np.float32], list[str]]:
    """Persons of 1 to 9 photos that are alike, and photos of nobody by name."""
    rng = np.random.default_rng(seed)
    names = [f"p{i:03}" for i in range(persons) for _ in range(rng.integers(1, 10))]
    own = {name: rng.normal(0, 0.06, 128) for name in names}
    photos = [own[name] + rng.normal(0, 0.03, 128) for name in names]
    names += [""] * 20
    photos += list(rng.normal(0, 0.07, (20, 128)))
    return np.array(photos, np.float32), names


def textbook(vectors: NDArray[np.float32], clusters: list[str]) -> NDArray[np.float64]:
    """The sandwich of a regression on a constant: bread 1 / n, meat of the sums of residuals."""
    residuals = vectors - vectors.mean(axis=0, dtype=np.float64)
    names = np.array(clusters)
    sums = [residuals[names == name].sum(axis=0) for name in sorted(set(clusters))]
    meat = np.square(sums).sum(axis=0) * len(sums) / (len(sums) - 1)
    error: NDArray[np.float64] = np.sqrt(meat) / len(vectors)
    return error


def test_the_error_by_person_is_that_of_the_textbook_and_of_a_bootstrap(tmp_path: Path) -> None:
    vectors, names = clustered_set(1, 150)
    written(merged(tmp_path, vectors, names), tmp_path / "out")
    found = read_statistics(tmp_path / "out/statistics.npz")
    clusters = [name or f"nobody {row}" for row, name in enumerate(names)]
    expected = textbook(vectors, clusters)
    np.testing.assert_allclose(found.standard_error_by_person, expected, rtol=1e-10)

    codes = np.unique(clusters, return_inverse=True)[1]
    count = codes.max() + 1
    sums = np.stack([np.bincount(codes, column) for column in vectors.T], axis=1)
    photos = np.bincount(codes)
    weights = np.random.default_rng(2).multinomial(count, np.full(count, 1 / count), 2000)
    means = weights @ sums / (weights @ photos)[:, np.newaxis]
    ratio = found.error_of_mean_by_person / np.sqrt(means.var(axis=0).sum())
    assert ratio == pytest.approx(1, abs=0.05)
    assert found.error_of_mean_by_person > 1.5 * found.error_of_mean


def test_without_names_every_photo_is_a_person(tmp_path: Path) -> None:
    vectors, _ = clustered_set(3, 20)
    written(merged(tmp_path, vectors, [""] * len(vectors)), tmp_path / "out")
    found = read_statistics(tmp_path / "out/statistics.npz")
    np.testing.assert_allclose(found.standard_error_by_person, found.standard_error, rtol=1e-12)


def test_one_person_does_not_tell_how_persons_scatter() -> None:
    error = clustered_error(np.zeros(3), np.array([5]), np.ones((1, 3)), ExactMoments(3))
    assert np.isnan(error).all()
