"""The directions in which embeddings vary most."""

import numpy as np
from numpy.typing import NDArray


def principal_components(
    covariance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the principal components as columns (d, d), most variance first, and their shares (d,).

    A component's largest number is positive, so that the same data give the same signs. Where
    nothing varies, the shares are 0.
    """
    directions, variances, _ = np.linalg.svd(covariance, hermitian=True)
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(len(directions))])
    total = variances.sum()
    return directions, variances / total if total else np.zeros_like(variances)
