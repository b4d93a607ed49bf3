"""The standard error of the mean where photos of one person are no independent samples.

The cluster-robust standard error of a mean, with the correction G / (G - 1) for G clusters ("CR1"):
K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using generalized linear models",
Biometrika 73 (1986), 13-22; A. C. Cameron and D. L. Miller, "A practitioner's guide to
cluster-robust inference", Journal of Human Resources 50 (2015), 317-372.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from meanface.files.arrays import release
from meanface.results.exact_moments import CHUNK, ExactMoments


def clustered_error(
    mean: NDArray[np.float64],
    photos: NDArray[np.int64],
    means: NDArray[np.float64],
    single: ExactMoments,
) -> NDArray[np.float64]:
    """Give the standard error of `mean`, float64 (d,), with a cluster for each person.

    `photos` int64 (k,) and `means` float64 (k, d) are those of k persons. `single` has the
    embeddings without an identity: each is a cluster of its own. All are nan for fewer than two
    clusters. The order of persons and embeddings changes no bit.
    """
    clusters, total = len(photos) + single.count, int(photos.sum()) + single.count
    if clusters < 2:
        return np.full_like(mean, np.nan)
    sums = np.array(
        [
            math.fsum(_squares(photos, means[:, number], centre))
            for number, centre in enumerate(mean)
        ]
    )
    if single.count:
        sums += single.count * np.square(single.mean() - mean)
    if single.count > 1:
        sums += (single.count - 1) * np.diagonal(single.covariance())
    error: NDArray[np.float64] = np.sqrt(clusters / (clusters - 1) * sums) / total
    return error


def _squares(photos: NDArray[np.int64], means: NDArray[np.float64], mean: float) -> Iterator[float]:
    """Yield the squared sum of each person's differences to the mean, for one dimension."""
    for start in range(0, len(photos), CHUNK):
        some = slice(start, start + CHUNK)
        yield from np.square(photos[some] * (means[some] - mean)).tolist()
        release(means)
