"""dlib's networks as ONNX graphs: the encoder, and the CNN detector."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from meanface.engine.dlib_network import Conv, Reader, read_network


class Graph:
    """An ONNX graph under construction. Methods add a node and give the name of its output."""

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

    def conv(self, x: str, conv: Conv) -> str:
        filters = self.constant(conv.filters.astype(np.float32))
        bias = self.constant(conv.bias.astype(np.float32))
        return self._conv(x, filters, bias, conv)

    def _conv(self, x: str, filters: str, bias: str, conv: Conv) -> str:
        return self.add("Conv", x, filters, bias, strides=[conv.stride] * 2, pads=conv.padding * 2)

    def rounded(self, x: str, like: str | None = None) -> str:
        """Round `x`, in the steps of `like`, in graphs that compute with integers."""
        return x

    def pixels(self, x: str) -> str:
        """Give uint8 `x` as the network's numbers."""
        return self.rounded(self.add("Cast", x, to=TensorProto.FLOAT))

    def pad(self, x: str, channels: int, pixels: int) -> str:
        """Add zeros at the end of `x`: `channels` channels, `pixels` rows and columns."""
        ends = np.array([0, 0, 0, 0, 0, channels, pixels, pixels])
        return self.add("Pad", x, self.constant(ends)) if ends.any() else x

    def model(
        self, sources: Sequence[onnx.ValueInfoProto], result: onnx.ValueInfoProto
    ) -> onnx.ModelProto:
        """Give the model from `sources` to `result`, the output of the last node."""
        self.nodes[-1].output[0] = result.name
        graph = helper.make_graph(self.nodes, "meanface", sources, [result], self.constants)
        # Every version of ONNX Runtime that the project allows reads these versions.
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def encoder_graph(
    reader: Reader, graph: Graph, correction: NDArray[np.float64] | float = 0.0
) -> onnx.ModelProto:
    """Build the encoder: a convolution, 14 residual blocks of two convolutions, and a matrix.

    A block whose first convolution has stride 2 halves the image. The input that goes around the
    block is averaged over 2x2 pixels. The smaller of the two is padded with zeros before the sum.

    `graph` is empty, and says how to compute. The sums of the blocks and the last block are never
    rounded: they take little time, and their errors would add up. `correction` is added to the
    embeddings.
    """
    mean, (first, *blocks, matrix) = read_network(reader)
    matrix.bias += correction
    # (chip - mean) / 256 is folded into the first convolution, which has no padding.
    first.filters /= 256
    first.bias -= np.einsum("oirc,i->o", first.filters, mean)

    x = graph.pixels(graph.add("Transpose", "chips", perm=[0, 3, 1, 2]))
    large = graph.rounded(graph.add("Relu", graph.conv(x, first)))
    # The largest of rounded numbers is rounded, but to say so lets the pooling be of integers.
    x = graph.add("MaxPool", large, kernel_shape=[3, 3], strides=[2, 2])
    x = graph.rounded(x, like=large)
    size = 35  # of a side of x, from 150
    for one, two in zip(blocks[::2], blocks[1::2], strict=True):
        if two is blocks[-1]:
            y = graph.conv(graph.add("Relu", graph.conv(x, one)), two)
        else:
            z = x if one is blocks[0] else graph.rounded(x)
            y = graph.rounded(graph.conv(graph.rounded(graph.add("Relu", graph.conv(z, one))), two))
        if one.stride == 2:
            x = graph.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            x = graph.pad(x, two.filters.shape[0] - one.filters.shape[1], 0)
            y = graph.pad(y, 0, size // 2 - (size - 1) // 2)
            size //= 2
        x = graph.add("Relu", graph.add("Add", x, y))
    x = graph.conv(graph.add("GlobalAveragePool", x), matrix)
    graph.add("Flatten", x)
    chips = helper.make_tensor_value_info("chips", TensorProto.UINT8, ["n", 150, 150, 3])
    return graph.model(
        [chips], helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 128])
    )


def detector_graph(reader: Reader) -> onnx.ModelProto:
    """Build the detector: six convolutions with relu, then one of 9x9 that gives the scores."""
    reader.next_layer()
    _, *window = reader.integers(3)
    *_, overlap, covered = (reader.real() for _ in range(5))
    mean, convs = read_network(reader)
    # The place of score i in the pyramid is stride * i + offset. A pyramid with a side of fewer
    # pixels than `smallest` has no score.
    stride, offset, smallest = 1, 0, 1
    for conv in reversed(convs):
        kernel, padding = conv.filters.shape[2], conv.padding[0]
        stride, offset = stride * conv.stride, offset * conv.stride + kernel // 2 - padding
        smallest = max(1, (smallest - 1) * conv.stride + kernel - 2 * padding)
    settings = {"window": window, "overlap": overlap, "covered": covered, "mean": mean.tolist()}
    settings |= {"stride": stride, "offset": offset, "smallest": smallest}

    graph = Graph()
    x = "pyramids"
    sources = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 3, None, None])]
    # One channel takes as long as nine. So the columns of `last` become nine channels, and a row of
    # nine picks a channel per column.
    *convs, last = convs
    columns = last.filters[0].transpose(2, 0, 1)[..., None]
    convs += [
        Conv(columns, np.zeros(9), 1, [last.padding[0], 0]),
        Conv(np.eye(9)[None, :, None], last.bias, 1, [0, last.padding[1]]),
    ]
    # ONNX Runtime computes 8 or 16 channels at a time, NVIDIA's tensor cores 8. Both take other
    # numbers in a slower way.
    *convs, column, row = _filled_up(convs, 16)
    for conv in convs:
        x = graph.add("Relu", graph.conv(x, conv))
    x = graph.conv(graph.conv(x, column), row)
    graph.add("Squeeze", x, graph.constant(np.array([1])))
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", None, None])
    model = graph.model(sources, scores)
    helper.set_model_props(model, {"detector": json.dumps(settings)})
    return model


def _filled_up(convs: Sequence[Conv], multiple: int) -> list[Conv]:
    """Add channels of zeros between convolutions: a multiple of channels. All scores stay."""
    filled = []
    for number, conv in enumerate(convs):
        more_in = -conv.filters.shape[1] % multiple if number else 0
        more_out = -conv.filters.shape[0] % multiple if conv is not convs[-1] else 0
        filters = np.pad(conv.filters, ((0, more_out), (0, more_in), (0, 0), (0, 0)))
        filled.append(replace(conv, filters=filters, bias=np.pad(conv.bias, (0, more_out))))
    return filled
