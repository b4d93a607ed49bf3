"""The principal components, against the singular values of the embeddings."""

import numpy as np
import pytest

from meanface.results.principal_components import principal_components

RNG = np.random.default_rng(1)
EMBEDDINGS = RNG.normal(size=(500, 128)).astype(np.float32)


def test_the_directions_of_most_variance() -> None:
    stretched = EMBEDDINGS * np.linspace(5, 1, 128)
    directions, shares = principal_components(np.cov(stretched.T))
    _, values, rows = np.linalg.svd(stretched - stretched.mean(axis=0), full_matrices=False)
    assert shares == pytest.approx(values**2 / (values**2).sum())
    assert np.abs((directions * rows.T).sum(axis=0)) == pytest.approx(1)
    assert (directions.max(axis=0) > -directions.min(axis=0)).all()
    for nothing in np.zeros((128, 128)), np.nan_to_num(np.full((128, 128), np.nan)):
        assert not principal_components(nothing)[1].any()
