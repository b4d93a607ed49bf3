"""Run the exported ONNX networks in PyTorch, on a GPU or, for tests, on a processor.

The files that ONNX Runtime computes with on processors are the only description of the networks.
PyTorch takes what is already on the GPU, and leaves the results there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import numpy_helper
from torch import Tensor

Valid = tuple[Tensor, Tensor]
"""Heights and widths, int64 (n,), of the images in a batch; what lies beyond them is padding."""


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
            (
                node.op_type,
                list(node.input),
                node.output[0],
                {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute},
            )
            for node in model.graph.node
        ]
        self._constants: dict[str, Tensor] = {}
        for one in model.graph.initializer:
            tensor = torch.from_numpy(numpy_helper.to_array(one).copy())
            if tensor.is_floating_point():
                tensor = tensor.to(device, dtype)
                if tensor.ndim == 4:
                    tensor = tensor.contiguous(memory_format=torch.channels_last)
            self._constants[one.name] = tensor  # integers are read here, so they stay
        # The chips' division by 256 is part of the first filters, which float16 would round off.
        self._scale = 256.0 if dtype is torch.float16 else 1.0
        cast = {output for operator, _, output, _ in self._nodes if operator == "Cast"}
        for operator, inputs, _, _ in self._nodes:
            if operator == "Conv" and inputs[0] in cast:
                filters = (
                    numpy_helper.to_array(
                        next(one for one in model.graph.initializer if one.name == inputs[1])
                    )
                    * self._scale
                )
                self._constants[inputs[1]] = torch.from_numpy(filters).to(device, dtype)

    def __call__(self, source: Tensor, valid: Valid | None = None) -> Tensor:
        """Give the output for `source`.

        With `valid`, images may be smaller than the batch: a convolution sees zeros around them, as
        if each image were alone.
        """
        values: dict[str, Any] = {self._source: source}
        for operator, inputs, output, attributes in self._nodes:
            given = [
                self._constants[name] if name in self._constants else values[name]
                for name in inputs
            ]
            if operator == "Conv":
                x, filters, bias = given
                values[output], valid = _conv(x, filters, bias, attributes, valid)
            elif operator == "Cast":
                values[output] = (given[0] / self._scale).to(self._dtype)
            else:
                values[output] = _OPERATORS[operator](given, attributes)
        result: Tensor = values[self._result]
        return result


def _conv(
    x: Tensor, filters: Tensor, bias: Tensor, attributes: Mapping[str, Any], valid: Valid | None
) -> tuple[Tensor, Valid | None]:
    stride = attributes["strides"]
    padding = attributes["pads"][:2]
    if valid is not None:
        if any(padding):
            x = x * _inside(x, valid)
        heights, widths = (
            (side + 2 * pad - size) // step + 1
            for side, pad, size, step in zip(valid, padding, filters.shape[2:], stride, strict=True)
        )
        valid = heights, widths
    return F.conv2d(x, filters, bias, stride, padding), valid


def _inside(x: Tensor, valid: Valid) -> Tensor:
    heights, widths = valid
    rows = torch.arange(x.shape[2], device=x.device) < heights[:, None]
    columns = torch.arange(x.shape[3], device=x.device) < widths[:, None]
    return (rows[:, None, :, None] & columns[:, None, None, :]).to(x.dtype)


def _pad(given: list[Tensor], _: Mapping[str, Any]) -> Tensor:
    x, ends = given
    begins, after = ends.tolist()[:4], ends.tolist()[4:]
    pairs = list(zip(begins, after, strict=True))[::-1]
    return F.pad(x, [side for pair in pairs for side in pair])


_OPERATORS: dict[str, Callable[[list[Tensor], Mapping[str, Any]], Tensor]] = {
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
