"""The mean of float32 vectors by exact summation: the order of summing changes no bit."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# A finite float32 is an integer of at most 24 bits times 2**e with -149 <= e <= 104
# (IEEE 754 binary32). 2**39 such integers of one exponent cannot overflow 64 bits.
_LOWEST_EXPONENT = -149
_EXPONENTS = 104 - _LOWEST_EXPONENT + 1
_MANTISSA_BITS = 24
_MOST_VECTORS = 2**39
_CHUNK = 2**16


class ExactSum:
    """The exact sum of float32 vectors of `dimensions` numbers, in constant memory."""

    def __init__(self, dimensions: int) -> None:
        self.vectors = 0
        self._per_exponent = np.zeros((_EXPONENTS, dimensions), dtype=np.int64)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Add the rows of a float32 array (n, dimensions). ValueError: a number is not finite."""
        if not np.isfinite(vectors).all():
            raise ValueError("an embedding is not finite")
        if self.vectors + len(vectors) > _MOST_VECTORS:
            raise ValueError(f"more than {_MOST_VECTORS} vectors")
        for start in range(0, len(vectors), _CHUNK):
            self._add_chunk(vectors[start : start + _CHUNK])
        self.vectors += len(vectors)

    def _add_chunk(self, vectors: NDArray[np.float32]) -> None:
        fraction, exponent = np.frexp(vectors)
        # Subnormal numbers have the lowest exponent and fewer bits.
        row = np.maximum(exponent - _MANTISSA_BITS - _LOWEST_EXPONENT, 0)
        integers = np.ldexp(fraction, exponent - (row + _LOWEST_EXPONENT))
        place = row * vectors.shape[1] + np.arange(vectors.shape[1])
        # bincount adds in float64, which is exact for up to 2**29 integers of 24 bits.
        counted = np.bincount(place.ravel(), integers.ravel(), self._per_exponent.size)
        self._per_exponent += counted.astype(np.int64).reshape(self._per_exponent.shape)

    def sum(self) -> NDArray[np.float64]:
        """Give the sum, float64 (dimensions,), rounded once. It equals math.fsum of each column."""
        totals = np.zeros(self._per_exponent.shape[1], dtype=np.float64)
        for dimension, column in enumerate(self._per_exponent.T):
            total = sum(int(part) << row for row, part in enumerate(column) if part)
            totals[dimension] = float(Fraction(total, 2**-_LOWEST_EXPONENT))
        return totals

    def mean(self) -> NDArray[np.float64]:
        """Give sum() / number of vectors, float64 (dimensions,). Raises ValueError: no vectors."""
        if not self.vectors:
            raise ValueError("the mean of no vectors")
        return self.sum() / self.vectors
