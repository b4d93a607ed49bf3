"""dlib's CNN face detector on a GPU, with its pyramids and its non-maximum suppression.

Steps, constants and so faces are those of `meanface.engine.cnn`, where they are explained.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from meanface.engine.cnn import layout
from meanface.engine.gpu.network import Network

# Pixels of pyramids that the network gets at a time: a GPU wants many.
TOGETHER = {"cuda": 16 << 20, "cpu": 1}
_WINDOWS = 512  # single windows that it gets at a time
_PYRAMIDS = 4  # times as many are made together


@dataclass(frozen=True)
class Boxes:
    """Faces of n photos, at most m of each, those with the highest scores first.

    `boxes`: int64 (n, m, 4): left, top, right, bottom, included. `scores`: float32 (n, m), 0 where
    a photo has fewer faces.
    """

    boxes: Tensor
    scores: Tensor


class Detector:
    """Finds faces in photos that are on the GPU."""

    def __init__(self, model: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Open the exported detector, which computes in `dtype`."""
        self._network = Network(model, device, dtype)
        self._device, self._dtype = device, dtype
        settings = json.loads(self._network.metadata["detector"])
        self._shift = torch.tensor(settings["mean"], dtype=torch.float32, device=device) / -256
        self._half = (np.array(settings["window"]) - 1) / 2
        self._stride: int = settings["stride"]
        self._offset: int = settings["offset"]
        self._smallest: int = settings["smallest"]
        self._overlap: float = settings["overlap"]
        self._covered: float = settings["covered"]

    def __call__(self, photos: Sequence[Tensor], upsample: int) -> Boxes:
        """Find the faces in photos, uint8 (height, width, 3), each doubled `upsample` times.

        What is found in a photo depends on no other photo: its place in a batch alone differs.
        """
        of_bucket = defaultdict(list)
        for index, photo in enumerate(photos):
            height, width = photo.shape[:2]
            for _ in range(upsample):
                height, width = 2 * height + 1, 2 * width + 2
            _, rows, columns = _tiles(height, width)
            if min(rows, columns) >= self._smallest:
                of_bucket[_bucket(rows), _bucket(columns)].append(index)
        found = []
        for bucket, indices in of_bucket.items():
            enlarged = [_enlarged(photos[index], upsample) for index in indices]
            found.append((indices, self._search(enlarged, *bucket)))
        return self._suppressed(_joined(found, len(photos), self._device), upsample)

    def scores_of(self, images: Tensor) -> Tensor:
        """Give the best score in each image of one size, uint8 (n, height, width, 3), float32 (n,).

        There is no pyramid: only faces of about 80x80 pixels are seen.
        """
        parts = []
        for some in images.split(_WINDOWS):
            # As many windows every time, because a GPU may compute another number in another way.
            filled = _WINDOWS if self._device.type == "cuda" else len(some)
            batch = F.pad(some, (0, 0, 0, 0, 0, 0, 0, filled - len(some)))
            scores = self._network(self._normal(batch).to(self._dtype))[: len(some)]
            parts.append(scores.float().amax(dim=(1, 2)))
        return torch.cat(parts)

    def _normal(self, images: Tensor) -> Tensor:
        # (images - mean) / 256: a division by a power of two rounds nothing.
        return torch.add(self._shift, images, alpha=1 / 256).permute(0, 3, 1, 2)

    def _search(self, photos: Sequence[Tensor], rows: int, columns: int) -> Boxes:
        """Give all windows that score above zero; pyramids must fit into `rows` and `columns`."""
        sizes = [(photo.shape[0], photo.shape[1]) for photo in photos]
        sides = torch.tensor([_tiles(*size)[1:] for size in sizes], device=self._device)
        # A score counts where the whole of what it depends on is in the photo's own pyramid.
        high, wide = _places(sides).T[..., None]
        inside = (torch.arange(_places(rows), device=self._device) < high)[:, :, None]
        inside = inside & (torch.arange(_places(columns), device=self._device) < wide)[:, None]
        count = max(1, TOGETHER[self._device.type] // (rows * columns))
        parts = []
        for start in range(0, len(photos), _PYRAMIDS * count):
            end = min(len(photos), start + _PYRAMIDS * count)
            # The network always gets `count` pyramids: with another number, a GPU may compute in
            # another way, which rounds differently.
            filled = -(-(end - start) // count) * count
            pyramids = self._pyramids(photos[start:end], sizes[start:end], (filled, rows, columns))
            more = 0, 0, 0, 0, 0, 0, 0, filled - (end - start)
            theirs = F.pad(inside[start:end, None].to(self._dtype), more)
            both = zip(pyramids.split(count), theirs.split(count), strict=True)
            scores = [self._network(some, known) for some, known in both]
            parts.append(torch.cat(scores)[: end - start].float())
        return self._windows(torch.where(inside, torch.cat(parts), 0.0), sizes)

    def _pyramids(
        self,
        photos: Sequence[Tensor],
        sizes: Sequence[tuple[int, int]],
        shape: tuple[int, int, int],
    ) -> Tensor:
        count, rows, columns = shape
        pyramids = torch.empty(
            (count, 3, rows, columns),
            dtype=self._dtype,
            device=self._device,
            memory_format=torch.channels_last,
        ).zero_()
        of_size = defaultdict(list)
        for index, size in enumerate(sizes):
            of_size[size].append(index)
        for size, indices in of_size.items():
            level = self._normal(torch.stack([photos[index] for index in indices]))
            where = torch.tensor(indices, device=self._device)
            for left, top, right, bottom in _tiles(*size)[0].tolist():
                height, width = bottom - top + 1, right - left + 1
                if level.shape[2:] != (height, width):
                    level = F.interpolate(
                        level, (height, width), mode="bilinear", align_corners=True
                    )
                if len(of_size) == 1:
                    pyramids[: len(photos), :, top : bottom + 1, left : right + 1] = level
                else:
                    pyramids[where, :, top : bottom + 1, left : right + 1] = level.to(self._dtype)
        return pyramids

    def _windows(self, scores: Tensor, sizes: Sequence[tuple[int, int]]) -> Boxes:
        """Give the windows that score above zero, `scores` being those of all places."""
        flat = scores.flatten(1)
        most = max(1, int((flat > 0).sum(dim=1).max()))
        certain, places = flat.sort(dim=1, descending=True, stable=True)
        certain, places = certain[:, :most], places[:, :most]
        row, column = places // scores.shape[2], places % scores.shape[2]
        centres = torch.stack([column, row], dim=2) * self._stride + self._offset
        return Boxes(self._boxes(centres, sizes), certain)

    def _suppressed(self, windows: Boxes, upsample: int) -> Boxes:
        """Give the windows that overlap no window with a higher score."""
        boxes, certain = windows.boxes, windows.scores
        alive = certain > 0
        kept_boxes, kept_scores = [], []
        everyone = torch.arange(len(boxes), device=boxes.device)
        while bool(alive.any()):
            first = alive.int().argmax(dim=1)
            box = boxes[everyone, first]
            kept_boxes.append(box)
            kept_scores.append(certain[everyone, first] * alive[everyone, first])
            alive = alive & ~self._overlap_of(box[:, None], boxes)
            alive[everyone, first] = False
        if not kept_boxes:
            return Boxes(boxes[:, :0], certain[:, :0])
        found = _smaller(torch.stack(kept_boxes, dim=1), upsample)
        return Boxes(found, torch.stack(kept_scores, dim=1))

    def _boxes(self, centres: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Give the windows around `centres` (n, k, 2) as boxes of level 0, int64 (n, k, 4)."""
        kinds = sorted(set(sizes))
        levels = [_tiles(*size)[0] for size in kinds]
        deepest = max(map(len, levels))
        # A level far away stands for those that a smaller photo has not.
        padded = np.full((len(levels), deepest, 4), 1 << 24)
        for to, theirs in zip(padded, levels, strict=True):
            to[: len(theirs)] = theirs
        number = {size: index for index, size in enumerate(kinds)}
        which = torch.tensor([number[size] for size in sizes], device=centres.device)
        tiles = torch.from_numpy(padded).to(centres.device)[which][:, None]
        points = centres[:, :, None]
        nearest = torch.minimum(torch.maximum(points, tiles[..., :2]), tiles[..., 2:])
        level = ((points - nearest) ** 2).sum(dim=3).argmin(dim=2)
        corner = torch.take_along_dim(tiles[:, 0, :, :2], level[..., None], dim=1)
        half = torch.from_numpy(self._half).to(centres.device)
        middle = (centres - corner).double()
        corners = torch.cat([middle - half, middle + half], dim=2)
        for one in range(deepest):
            corners = torch.where((level > one)[..., None], corners * (6 / 5) + 0.3, corners)
        return _rounded(corners)

    def _overlap_of(self, box: Tensor, boxes: Tensor) -> Tensor:
        inner = _area(
            torch.maximum(box[..., :2], boxes[..., :2]), torch.minimum(box[..., 2:], boxes[..., 2:])
        ).double()
        outer = _area(
            torch.minimum(box[..., :2], boxes[..., :2]), torch.maximum(box[..., 2:], boxes[..., 2:])
        )
        smaller = torch.minimum(
            _area(box[..., :2], box[..., 2:]), _area(boxes[..., :2], boxes[..., 2:])
        )
        return (inner / outer > self._overlap) | (inner / smaller > self._covered)


def _joined(found: Sequence[tuple[list[int], Boxes]], count: int, device: torch.device) -> Boxes:
    most = max((one.scores.shape[1] for _, one in found), default=0)
    boxes = torch.zeros((count, most, 4), dtype=torch.int64, device=device)
    scores = torch.zeros((count, most), dtype=torch.float32, device=device)
    for indices, one in found:
        where = torch.tensor(indices, device=device)
        boxes[where, : one.boxes.shape[1]] = one.boxes
        scores[where, : one.scores.shape[1]] = one.scores
    return Boxes(boxes, scores)


_Sides = TypeVar("_Sides", int, Tensor)


def _places(sides: _Sides) -> _Sides:
    """Give how many scores a side of a pyramid has: three convolutions of stride 2."""
    for _ in range(3):
        sides = (sides - 5) // 2 + 1
    return sides


@cache
def _tiles(
    height: int, width: int
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.int64]], int, int]:
    return layout(height, width)


def _bucket(side: int) -> int:
    """Round a side of a pyramid up, by at most a sixteenth, so that few shapes occur."""
    step = max(16, 1 << (side.bit_length() - 5))
    return -(-side // step) * step


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low + 1).clamp(min=0).prod(dim=-1)


def _rounded(values: Tensor) -> Tensor:
    return torch.trunc(values + torch.copysign(values.new_tensor(0.5), values)).long()


def _enlarged(photo: Tensor, times: int) -> Tensor:
    for _ in range(times):
        height, width = photo.shape[:2]
        planes = photo.permute(2, 0, 1)[None].float()
        size = 2 * height + 1, 2 * width + 2
        larger = F.interpolate(planes, size, mode="bilinear", align_corners=True)
        photo = larger[0].permute(1, 2, 0).to(torch.uint8)
    return photo


def _smaller(boxes: Tensor, times: int) -> Tensor:
    corners = boxes.double()
    for _ in range(times):
        corners = corners / 2 - corners.new_tensor((1.25, 0.75, 1.25, 0.75))
    return _rounded(corners)
