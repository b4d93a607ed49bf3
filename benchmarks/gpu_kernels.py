"""Count what the GPU's pipeline does, without a GPU: what would start kernels, and what waits.

PyTorch computes on the processor here, with the batches of a GPU. A Markdown table has for each
stage, and for photos of 250x250, of 50 sizes and of 12 megapixels:

* operations that start a kernel at least (views and metadata start none; a convolution with a bias
  starts two);
* the bytes that these operations read and write;
* waits: the CPU reads a value of the GPU, so that it can start nothing more until the GPU is done.
"""

# ruff: noqa: ANN401 (PyTorch asks for these signatures)
import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu import (
    LARGE,
    MIXED,
    PHOTOS,
    TWELVE,
    exported,
    in_one_of_sizes,
    read_photos,
    resized,
    settings_of,
)
from meanface.engine.decode import decode
from meanface.engine.gpu import detect
from meanface.engine.gpu.engine import GpuEngine
from meanface.engine.settings import EngineSettings
from meanface.shards.manifest import Photo

_NO_KERNEL = {
    *("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "detach", "alias"),
    *("_unsafe_view", "_reshape_alias", "_local_scalar_dense", "resize_", "set_", "lift_fresh"),
}
_WAITS = {"cpu", "item", "tolist", "__bool__", "__int__", "__float__", "__index__"}


@dataclass
class Count:
    """What one stage did: how many kernels of each name, the bytes they moved, and waits."""

    kernels: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    waits: int = 0

    def add(self, name: str, *tensors: Tensor) -> None:
        """Count a kernel that reads and writes tensors."""
        self.kernels[name] += 1
        self.moved[name] += sum(map(_bytes, tensors))


class Counting:
    """Counts what happens in each stage of an engine."""

    def __init__(self) -> None:
        self.of_stage: defaultdict[str, Count] = defaultdict(Count)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is done in the block as of a stage; give it to an engine as its `stage`."""
        count = self.of_stage[name]
        with _Waits(count), _Kernels(count):
            yield


class _Kernels(TorchDispatchMode):  # type: ignore[misc]
    def __init__(self, count: Count) -> None:
        super().__init__()
        self._count = count

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Any = None,
    ) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0]
        if not name.startswith("upsample"):  # Python would compute it
            with self:
                result = func.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        result = func(*args, **(kwargs or {}))
        if name == "nonzero" or _is_masked(name, args):
            self._count.waits += 1
        # Of the tensor that is indexed, as much is read as comes out.
        read = (result, *args[1:]) if name in ("index", "index_select") else args
        tensors = [one for one in tree_leaves((read, kwargs, result)) if isinstance(one, Tensor)]
        if func.is_view or name in _NO_KERNEL or not any(one.numel() for one in tensors):
            return result
        if name == "convolution" and args[2] is not None:
            self._count.add("bias", result, result)
        self._count.add(name, *tensors)
        return result


class _Waits(TorchFunctionMode):  # type: ignore[misc]
    def __init__(self, count: Count) -> None:
        super().__init__()
        self._count = count

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Any = None,
    ) -> Any:
        self._count.waits += getattr(func, "__name__", "") in _WAITS
        return func(*args, **(kwargs or {}))


def _is_masked(name: str, args: Sequence[Any]) -> bool:
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_", "masked_select"):
        return False
    return any(one is not None and one.dtype == torch.bool for one in args[1])


def _bytes(tensor: Tensor) -> int:
    """Bytes of what a tensor shows of its memory, where an expanded value counts once."""
    values: int = tensor.element_size()
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        values *= size if stride else 1
    return values


def counted(
    settings: EngineSettings, models: Mapping[str, Path], photos: Sequence[Tensor]
) -> dict[str, Count]:
    """Give the counts of each stage for photos, uint8 (height, width, 3), as one batch."""
    engine = GpuEngine(settings, models, "cpu")
    counting = Counting()
    engine.stage = counting.stage
    engine.outcomes(photos)
    return dict(counting.of_stage)


def _tensors(photos: Sequence[Photo]) -> list[Tensor]:
    return [
        torch.from_numpy(np.array(decode(photo.data or b"", "full", 10**9))) for photo in photos
    ]


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?", default=PHOTOS, help="a tar of photos")
    parser.add_argument("--models", type=Path, help="a folder of exported models")
    parser.add_argument("--photos", type=int, default=40, help="photos of 250x250 in a batch")
    parser.add_argument("--large", type=int, default=3, help="photos of 12 megapixels in a batch")
    parser.add_argument("--names", type=int, default=0, help="name the operations that move most")
    given = parser.parse_args()
    detect.TOGETHER["cpu"] = detect.TOGETHER["cuda"]
    photos = read_photos(given.archive)[: given.photos]
    sets = {
        "250x250": _tensors(photos),
        MIXED: _tensors([in_one_of_sizes(photo, n) for n, photo in enumerate(photos)]),
        TWELVE: _tensors([resized(photo, *LARGE) for photo in photos[: given.large]]),
    }
    print("| photos | stage | kernels | MB | waits |\n|---|---|--:|--:|--:|")
    with exported(given.models) as models:
        for kind, some in sets.items():
            if not some:
                continue
            for stage, count in counted(settings_of("float32"), models, some).items():
                row = f"| {len(some)} of {kind} | {stage}"
                kernels, moved = count.kernels.total(), count.moved.total() / 1e6
                print(f"{row} | {kernels} | {moved:.0f} | {count.waits} |", flush=True)
                for name, size in count.moved.most_common(given.names):
                    print(f"| | {name} | {count.kernels[name]} | {size / 1e6:.0f} | |")


if __name__ == "__main__":
    main()
