"""How embeddings vary: directions of most variance, and how their mean settles."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


def settling(
    embeddings: NDArray[np.float32], mean: NDArray[np.float64], counts: Sequence[int]
) -> NDArray[np.float64]:
    """Give how far from `mean` (d,) the mean of the first k embeddings (n, d) is, for k in counts.

    Euclidean; `counts` are ascending, each from 1 to n.
    """
    starts = np.array([0, *counts[:-1]])
    embeddings = embeddings[: counts[-1]]
    sums = np.add.reduceat(embeddings, starts, axis=0, dtype=np.float64).cumsum(axis=0)
    return np.asarray(np.linalg.norm(sums / np.array(counts)[:, None] - mean, axis=1))


def chance(
    covariance: NDArray[np.float64], count: int, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give how far from the mean of `count` photos the mean of k of them is, for k in counts.

    The root mean square over all ways to draw k without putting back, where `covariance` (d, d)
    divides by count - 1: W. G. Cochran, "Sampling Techniques", 3rd ed., theorem 2.2, summed over
    the dimensions.
    """
    variance = np.trace(covariance)
    return np.asarray(np.sqrt(variance * np.maximum(1 / counts - 1 / count, 0)))


def principal_directions(
    covariance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the directions of most variance as columns (d, d), most first, and their shares (d,).

    A direction's largest number is positive, so that the same data give the same signs. Where
    nothing varies, the shares are 0.
    """
    directions, variances, _ = np.linalg.svd(covariance, hermitian=True)
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(len(directions))])
    total = variances.sum()
    return directions, variances / total if total else np.zeros_like(variances)
