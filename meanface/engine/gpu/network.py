"""Run the exported ONNX networks in PyTorch, on a GPU or, for tests, on a processor.

The files that ONNX Runtime computes with on processors are the only description of the networks.
PyTorch takes what is already on the GPU, and leaves the results there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import numpy_helper
from torch import Tensor


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


class Network:
    """An exported network with one input and one output."""

    def __init__(self, file: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Read `file`, and put its weights on `device`, real numbers as `dtype`."""
        model = onnx.load(str(file))
        self.metadata = {one.key: one.value for one in model.metadata_props}
        self._dtype = dtype
        self._source = model.graph.input[0].name
        self._result = model.graph.output[0].name
        self._nodes = [
            _Node(
                node.op_type,
                tuple(node.input),
                node.output[0],
                {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute},
            )
            for node in model.graph.node
        ]
        weights = {
            one.name: torch.from_numpy(numpy_helper.to_array(one).copy())
            for one in model.graph.initializer
        }
        # The chips' division by 256 is part of the first filters, which float16 would round off.
        self._scale = 256.0 if dtype is torch.float16 else 1.0
        cast = {node.output for node in self._nodes if node.operator == "Cast"}
        for node in self._nodes:
            if node.operator == "Conv" and node.inputs[0] in cast:
                weights[node.inputs[1]] *= self._scale
        self._constants = {name: _placed(one, device, dtype) for name, one in weights.items()}

    def __call__(self, source: Tensor, inside: Tensor | None = None) -> Tensor:
        """Give the output for `source`.

        With `inside`, images may be smaller than the batch: a convolution sees zeros around them,
        as if each image were alone. `inside`, (n, 1, height, width), is 1 where an image is and 0
        beyond, for the inputs of the convolutions with padding, which are of one size.
        """
        values: dict[str, Any] = {self._source: source}
        for node in self._nodes:
            given: list[Any] = [
                self._constants[name] if name in self._constants else values[name]
                for name in node.inputs
            ]
            if node.operator == "Conv":
                padding = node.attributes["pads"][:2]
                if inside is not None and any(padding):
                    given[0] = given[0] * inside
                result = F.conv2d(*given, node.attributes["strides"], padding)
            elif node.operator == "Cast":
                result = (given[0] / self._scale).to(self._dtype)
            else:
                result = _OPERATORS[node.operator](given, node.attributes)
            values[node.output] = result
        output: Tensor = values[self._result]
        return output


def _placed(weight: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor | list[int]:
    if not weight.is_floating_point():
        return [int(one) for one in weight.tolist()]
    placed = weight.to(device, dtype)
    return placed.contiguous(memory_format=torch.channels_last) if placed.ndim == 4 else placed


def _pad(given: list[Any], _: Mapping[str, Any]) -> Tensor:
    x, ends = given
    pairs = list(zip(ends[:4], ends[4:], strict=True))[::-1]
    return F.pad(x, [side for pair in pairs for side in pair])


_OPERATORS: dict[str, Callable[[list[Any], Mapping[str, Any]], Tensor]] = {
    "Transpose": lambda given, how: given[0].permute(*how["perm"]),
    "Relu": lambda given, _: torch.relu_(given[0]),
    "Add": lambda given, _: given[0] + given[1],
    "MaxPool": lambda given, how: F.max_pool2d(given[0], how["kernel_shape"], how["strides"]),
    "AveragePool": lambda given, how: F.avg_pool2d(given[0], how["kernel_shape"], how["strides"]),
    "GlobalAveragePool": lambda given, _: given[0].mean(dim=(2, 3), keepdim=True),
    "Flatten": lambda given, _: given[0].flatten(1),
    "Squeeze": lambda given, _: given[0].squeeze(1),
    "Pad": _pad,
}
