"""Exact sums of vectors and of their products, and from these the mean and the covariance."""

import math

import numpy as np
from numpy.typing import NDArray

# A finite float32 is a multiple of 2**-149 (IEEE 754 binary32).
_LOWEST_EXPONENT = -149
CHUNK = 2**13  # rows at a time
# Products of two slices of 20 bits, summed over 2**13 rows, fit into the 53 bits of a float64. So
# BLAS may add them in any order.
_SLICE_BITS = 20


class ExactMoments:
    """The exact sums of float32 vectors of `dimensions` numbers and of their products.

    Vectors are cut into slices of few bits, which BLAS multiplies and adds without rounding. The
    results are summed as integers. The method comes from K. Ozaki, T. Ogita, S. Oishi and S. M.
    Rump, "Error-free transformations of matrix multiplication by using fast routines of matrix
    multiplication and its applications", Numerical Algorithms 59 (2012), 95-118.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        # Python integers of any size, in units of 2**-149 and of 2**-298.
        self._sums = np.zeros(dimensions, dtype=object)
        self._products = np.zeros((dimensions, dimensions), dtype=object)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Add the rows of a float32 array (n, dimensions). ValueError: a number is not finite."""
        if not np.isfinite(vectors).all():
            raise ValueError("an embedding is not finite")
        for start in range(0, len(vectors), CHUNK):
            self._add_chunk(vectors[start : start + CHUNK])
        self.count += len(vectors)

    def _add_chunk(self, vectors: NDArray[np.float32]) -> None:
        units, slices = _slices(vectors)
        flat = slices.reshape(len(vectors), -1)
        products = (flat.T @ flat).reshape(2 * slices.shape[1:])
        for i, first in enumerate(units):
            self._sums += _integers(slices[:, i].sum(axis=0)) << first
            for j, second in enumerate(units):
                self._products += _integers(products[i, :, j]) << first + second

    def mean(self) -> NDArray[np.float64]:
        """Give the mean, float64 (dimensions,), equal to ExactSum's. ValueError: no vectors."""
        if not self.count:
            raise ValueError("the mean of no vectors")
        sums: NDArray[np.float64] = (self._sums / 2**-_LOWEST_EXPONENT).astype(np.float64)
        return sums / self.count

    def covariance(self) -> NDArray[np.float64]:
        """Give the sample covariance (divided by count - 1), float64 (dimensions, dimensions).

        Each number is correctly rounded. All are nan for fewer than two vectors.
        """
        if self.count < 2:
            return np.full(self._products.shape, np.nan)
        scaled = self.count * self._products - np.outer(self._sums, self._sums)
        unit = self.count * (self.count - 1) << -2 * _LOWEST_EXPONENT
        # Python divides integers of any size and rounds once.
        covariance: NDArray[np.float64] = (scaled / unit).astype(np.float64)
        return covariance


def _slices(vectors: NDArray[np.float32]) -> tuple[list[int], NDArray[np.float64]]:
    """Cut vectors (n, d) into slices (n, k, d) with units (k,); k depends on the numbers' range.

    A slice holds integers up to 2**20. The vectors equal the sum over k of
    slices[:, k] * 2**(units[k] - 149), exactly.
    """
    units, slices = [], []
    rest = vectors.astype(np.float64)
    while largest := float(np.abs(rest).max(initial=0)):
        exponent = max(math.frexp(largest)[1] - _SLICE_BITS, _LOWEST_EXPONENT)
        # With powers of two, the division, the product and the difference do not round.
        slices.append(np.rint(rest / 2.0**exponent))
        rest -= slices[-1] * 2.0**exponent
        units.append(exponent - _LOWEST_EXPONENT)
    return units, np.stack(slices or [rest], axis=1)


def _integers(values: NDArray[np.float64]) -> NDArray[np.object_]:
    return values.astype(np.int64).astype(object)
