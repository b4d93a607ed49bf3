"""The encoder in integers of 8 bits: activations and filters are rounded, sums stay exact.

Quantisation as in B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018: a number is `scale * (integer - zero)`. Nodes that
round and restore surround each convolution (ONNX's QDQ format), and ONNX Runtime makes integer
arithmetic of them. `int8.json` has what was calibrated, see benchmarks/calibrate.py.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanface.engine.dlib_network import Conv
from meanface.engine.onnx_graphs import Graph

_CALIBRATION = Path(__file__).with_suffix(".json")
_MOST = 127  # of a rounded filter, positive and negative


@dataclass(frozen=True)
class Calibration:
    """What was measured on faces: the least and the most of each rounded activation, in order.

    `correction`, float64 (128,), is added to every embedding: the mean error of these faces.
    """

    ranges: list[tuple[float, float]]
    correction: NDArray[np.float64]

    @classmethod
    def read(cls) -> "Calibration":
        """Read the calibration that comes with meanface."""
        content = json.loads(_CALIBRATION.read_text(encoding="utf-8"))
        return cls(
            [(low, high) for low, high in content["ranges"]], np.array(content["correction"])
        )

    def write(self) -> None:
        """Replace the calibration that comes with meanface."""
        content = {"ranges": self.ranges, "correction": self.correction.tolist()}
        _CALIBRATION.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Int8Graph(Graph):
    """A graph whose rounded activations and the convolutions of these are integers of 8 bits."""

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self._ranges: Iterator[tuple[float, float]] = iter(calibration.ranges)
        self._scales: dict[str, tuple[np.float32, np.uint8]] = {}

    def rounded(self, x: str, like: str | None = None) -> str:
        scale, zero = self._scales[like] if like else _scale(*next(self._ranges))
        names = self.constant(np.array(scale)), self.constant(np.array(zero))
        restored = self.add("DequantizeLinear", self.add("QuantizeLinear", x, *names), *names)
        self._scales[restored] = scale, zero
        return restored

    def pixels(self, x: str) -> str:
        scale, zero = _scale(*next(self._ranges))
        names = self.constant(np.array(scale)), self.constant(np.array(zero))
        restored = self.add("DequantizeLinear", x, *names)
        self._scales[restored] = scale, zero
        return restored

    def conv(self, x: str, conv: Conv) -> str:
        if x not in self._scales:
            return super().conv(x, conv)
        scale, _ = self._scales[x]
        filters, scales = round_filters(conv.filters)
        # ONNX Runtime adds the bias to the integer sums, so it has their scale.
        of_sums = scales * scale
        bias = np.rint(conv.bias / of_sums).astype(np.int32)
        return self._conv(x, self._restored(filters, scales), self._restored(bias, of_sums), conv)

    def _restored(self, integers: NDArray[np.int8 | np.int32], scales: NDArray[np.float32]) -> str:
        names = self.constant(integers), self.constant(scales)
        return self.add("DequantizeLinear", *names, axis=0)


def _scale(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Give scale and zero for 256 steps from low to high. One step is exactly 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    return scale, np.uint8(round(-low / float(scale)))


def round_filters(
    filters: NDArray[np.float64],
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round filters (out, in, rows, columns) to integers from -127 to 127, with a scale per output.

    The rounding errors of a kernel add up to half a step at most, and so do those of an output.
    Neighbouring pixels are alike, so the errors of their filter weights cancel out. The method
    follows C. Guo et al., "SQuant: On-the-Fly Data-Free Quantization", ICLR 2022.
    """
    largest = np.abs(filters).max(axis=(1, 2, 3))
    scales = (np.where(largest == 0, 1, largest) / _MOST).astype(np.float32)
    exact = (filters / scales[:, None, None, None]).reshape(*filters.shape[:2], -1)
    integers = _balanced(exact, np.rint(exact))
    # Then kernels: one step of a kernel is a step where that helps the kernel most.
    errors = integers - exact
    sums = errors.sum(axis=2)
    steps = _balanced(-sums, np.zeros_like(sums))
    best = np.argmax(-errors * np.sign(steps)[:, :, None], axis=2)[:, :, None]
    np.put_along_axis(
        integers, best, np.take_along_axis(integers, best, 2) + steps[:, :, None], axis=2
    )
    return integers.clip(-_MOST, _MOST).reshape(filters.shape).astype(np.int8), scales


def _balanced(exact: NDArray[np.float64], integers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move integers by a step so that errors along the last axis add up to half a step at most.

    The integers with the largest errors move, each to the other side of its exact number.
    """
    errors = integers - exact
    wanted = np.rint(errors.sum(axis=-1, keepdims=True))
    towards = errors * np.sign(wanted)
    rank = np.argsort(np.argsort(-towards, axis=-1, kind="stable"), axis=-1, kind="stable")
    moves = (rank < np.abs(wanted)) & (towards > 0)
    return np.asarray(integers - np.sign(wanted) * moves)
