"""Read the layers of a network from one of dlib's weight files."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LAYER = re.compile(rb"con_4|affine_|bn_con2|fc_2|loss_mmod_|input_rgb_image_(?:sized|pyramid)")


class Reader:
    """Reads a weight file from start to end: dlib's serialize.h, dnn/layers.h and dnn/loss.h."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self) -> int:
        control = self.bytes(1)[0]
        value = int.from_bytes(self.bytes(control & 0x0F), "little")
        return -value if control & 0x80 else value

    def integers(self, count: int) -> list[int]:
        return [self.integer() for _ in range(count)]

    def real(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        return float(mantissa * 2.0**exponent)

    def tensor(self) -> NDArray[np.float64]:
        self.integer()  # version
        shape = self.integers(4)
        flat = np.frombuffer(self.bytes(4 * int(np.prod(shape))), "<f4")
        return flat.reshape(shape).astype(np.float64)

    def next_layer(self) -> str | None:
        """Skip to the next layer that holds numbers. Give its name, None at the end."""
        match = _LAYER.search(self._data, self._at)
        self._at = match.end() if match else len(self._data)
        return match[0].decode() if match else None


@dataclass
class Conv:
    """A convolution: filters (out, in, rows, columns), bias (out,)."""

    filters: NDArray[np.float64]
    bias: NDArray[np.float64]
    stride: int
    padding: list[int]  # above and below, left and right

    def scale(self, gamma: NDArray[np.float64], beta: NDArray[np.float64]) -> None:
        """Fold in the affine layer that follows: `gamma` times the result plus `beta`."""
        self.filters = self.filters * gamma[:, None, None, None]
        self.bias = self.bias * gamma + beta


def read_network(reader: Reader) -> tuple[NDArray[np.float64], list[Conv]]:
    """Give the mean colour (3,) and the convolutions, with the affine layers folded in.

    A matrix is a convolution of one pixel.
    """
    mean = np.zeros(3)
    convs: list[Conv] = []
    while layer := reader.next_layer():
        if layer == "con_4":
            numbers = reader.tensor().ravel()
            count, rows, columns, stride, _, *padding = reader.integers(7)
            filters = numbers[:-count].reshape(count, -1, rows, columns)
            convs.append(Conv(filters, numbers[-count:], stride, padding))
        elif layer == "affine_":
            convs[-1].scale(*reader.tensor().reshape(2, -1))
        elif layer == "bn_con2":
            gamma, beta = reader.tensor().reshape(2, -1)
            reader.integers(10)  # the shapes of gamma and beta
            _, _, means, variances = (reader.tensor().ravel() for _ in range(4))
            reader.integers(2)
            *_, epsilon = (reader.real() for _ in range(5))
            gamma = gamma / np.sqrt(variances + epsilon)
            convs[-1].scale(gamma, beta - gamma * means)
        elif layer == "fc_2":
            outputs, _ = reader.integers(2)
            matrix = reader.tensor()[:, :, 0, 0]
            convs.append(Conv(matrix.T[:, :, None, None], np.zeros(outputs), 1, [0, 0]))
        else:
            mean = np.array([reader.real() for _ in range(3)])
    return mean, convs
