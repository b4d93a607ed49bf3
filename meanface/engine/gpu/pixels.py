"""Squares cut out of photos on a GPU, as dlib's `extract_image_chip` cuts them.

Steps and constants are those of dlib 20 (image_transforms/interpolation.h and image_pyramid.h).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_TOGETHER = 6 << 20  # pixels of squares: their places take most memory


@dataclass(frozen=True)
class Pixels:
    """Photos of any sizes, one after the other.

    `flat` is uint8 (pixels, 3), RGB. `starts`, `heights` and `widths`, int64 (n,), tell where each
    photo begins in `flat`, and how large it is.
    """

    flat: Tensor
    starts: Tensor
    heights: Tensor
    widths: Tensor

    @classmethod
    def of(cls, photos: Sequence[Tensor]) -> "Pixels":
        """Join photos, uint8 (height, width, 3)."""
        device = photos[0].device
        sizes = torch.tensor([photo.shape[:2] for photo in photos], device=device)
        counts = sizes.prod(dim=1)
        flat = torch.cat([photo.reshape(-1, 3) for photo in photos])
        return cls(flat, counts.cumsum(0) - counts, sizes[:, 0], sizes[:, 1])

    def photo(self, index: int) -> Tensor:
        """Give a photo, uint8 (height, width, 3)."""
        start, height, width = (
            int(values[index]) for values in (self.starts, self.heights, self.widths)
        )
        return self.flat[start : start + height * width].reshape(height, width, 3)

    def brightness(self, photos: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Give the mean of red, green and blue, rounded down, int16 (m, k); 0 outside a photo.

        `photos` (m,) are numbers of photos, `x` and `y`, int64 (m, k), places in them.
        """
        height, width = self.heights[photos, None], self.widths[photos, None]
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        at = torch.where(inside, self.starts[photos, None] + y * width + x, 0)
        grey = self.flat[at].sum(dim=-1, dtype=torch.int16) // 3
        return torch.where(inside, grey, 0)


@dataclass(frozen=True)
class Places:
    """Squares of photos. `photos`: int64 (m,); `boxes`: float64 (m, 4), left, top, right, bottom.

    Each is turned around its middle by `angles`, float64 (m,), in radians and clockwise.
    """

    photos: Tensor
    boxes: Tensor
    angles: Tensor

    def take(self, which: Tensor) -> "Places":
        """Give some of the places."""
        return Places(self.photos[which], self.boxes[which], self.angles[which])


def cut_out(pixels: Pixels, places: Places, size: int) -> Tensor:
    """Give the squares in `size` x `size` pixels, uint8 (m, size, size, 3); black outside.

    Photos are halved first where a square has many more pixels, so that none is skipped.
    """
    depths = _depths(places.boxes, size)
    cuts = pixels.flat.new_empty((len(depths), size, size, 3))
    _fill(cuts, torch.nonzero(depths == 0)[:, 0], pixels, places)
    if deep := torch.nonzero(depths)[:, 0].tolist():
        corners, angles, numbers = (
            places.boxes.tolist(),
            places.angles.tolist(),
            places.photos.tolist(),
        )
        smaller, boxes = zip(
            *(
                _smaller(pixels.photo(numbers[one]), corners[one], angles[one], depth)
                for one, depth in zip(deep, depths[deep].tolist(), strict=True)
            ),
            strict=True,
        )
        which = torch.tensor(deep, device=cuts.device)
        numbers = torch.arange(len(deep), device=cuts.device)
        part = cuts[which]
        halved = Places(numbers, places.boxes.new_tensor(boxes), places.angles[which])
        _fill(part, numbers, Pixels.of(smaller), halved)
        cuts[which] = part
    return cuts


def sampled(pixels: Pixels, places: Places, size: int) -> Tensor:
    """Give the squares as `cut_out` does, without halving the photos."""
    cuts = pixels.flat.new_empty((len(places.photos), size, size, 3))
    _fill(cuts, torch.arange(len(cuts), device=cuts.device), pixels, places)
    return cuts


def around(
    pixels: Pixels, photos: Tensor, boxes: Tensor, reach: float, size: int
) -> tuple[Pixels, Tensor, Tensor]:
    """Cut faces with their surroundings out and halve them, where squares would be halved.

    `reach` times the size of `boxes`, float64 (m, 4), is cut out to be sampled in `size` pixels.
    Gives photos, numbers of photos, and boxes in these photos. They are about those of `cut_out`,
    made once for many squares of a face.
    """
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    depths = _depths(torch.cat([middle - half * reach, middle + half * reach], dim=1), size)
    deep = torch.nonzero(depths)[:, 0]
    if not len(deep):
        return pixels, photos, boxes
    # Every turn of the square is inside.
    larger = torch.cat([middle - half * reach * 1.5, middle + half * reach * 1.5], dim=1)
    numbers, corners = photos.tolist(), larger.tolist()
    smaller, halved = zip(
        *(
            _smaller(pixels.photo(numbers[one]), corners[one], 0.0, depth)
            for one, depth in zip(deep.tolist(), depths[deep].tolist(), strict=True)
        ),
        strict=True,
    )
    more = Pixels.of(smaller)
    joined = Pixels(
        torch.cat([pixels.flat, more.flat]),
        torch.cat([pixels.starts, more.starts + len(pixels.flat)]),
        torch.cat([pixels.heights, more.heights]),
        torch.cat([pixels.widths, more.widths]),
    )
    photos, boxes = photos.clone(), boxes.clone()
    photos[deep] = len(pixels.starts) + torch.arange(len(deep), device=deep.device)
    there = boxes.new_tensor(halved)
    middle, half = (there[:, :2] + there[:, 2:]) / 2, (there[:, 2:] - there[:, :2]) / 2
    half = half / (reach * 1.5)
    boxes[deep] = torch.cat([middle - half, middle + half], dim=1)
    return joined, photos, boxes


def _fill(cuts: Tensor, which: Tensor, pixels: Pixels, places: Places) -> None:
    for some in which.split(max(1, _TOGETHER // cuts.shape[1] ** 2)):
        cuts[some] = _sampled(pixels, places.take(some), cuts.shape[1])


def _sampled(pixels: Pixels, places: Places, size: int) -> Tensor:
    """Interpolate between the four pixels around each place."""
    x, y = _grid(places, size)
    height, width = pixels.heights[places.photos], pixels.widths[places.photos]
    left, top = x.floor(), y.floor()
    right, low = (x - left).float(), (y - top).float()
    column, row = left.long(), top.long()
    height, width = height[:, None, None], width[:, None, None]
    inside = (column >= 0) & (row >= 0) & (column + 1 < width) & (row + 1 < height)
    at = pixels.starts[places.photos][:, None, None] + row * width + column
    at = torch.where(inside, at, 0)
    below = torch.where(inside, at + width, 0)
    beside = inside.long()  # 0 where there is no pixel
    flat, right, low = pixels.flat, right[..., None], low[..., None]
    upper = torch.lerp(flat[at].float(), flat[at + beside].float(), right)
    lower = torch.lerp(flat[below].float(), flat[below + beside].float(), right)
    return (torch.lerp(upper, lower, low) * inside[..., None]).to(torch.uint8)


def _grid(places: Places, size: int) -> tuple[Tensor, Tensor]:
    """Give the places of the pixels of each square, float64 (m, size, size)."""
    left, top, right, bottom = places.boxes.T[:, :, None]
    steps = torch.linspace(0, 1, size, dtype=torch.float64, device=left.device)
    x, y = (steps - 0.5) * (right - left), (steps - 0.5) * (bottom - top)
    cosine, sine = places.angles.cos()[:, None, None], places.angles.sin()[:, None, None]
    across, down = x[:, None, :], y[:, :, None]
    return (
        across * cosine - down * sine + ((left + right) / 2)[..., None],
        across * sine + down * cosine + ((top + bottom) / 2)[..., None],
    )


_DOWN = (1.25, 0.75)  # what dlib's pyramid_down<2> takes off halved coordinates


def _rect_down(boxes: Tensor) -> Tensor:
    return boxes / 2 - boxes.new_tensor(_DOWN * 2)


def _depths(boxes: Tensor, size: int) -> Tensor:
    """Tell how often to halve each photo so that its square has about `size` x `size` pixels."""
    depths = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    for _ in range(16):
        boxes = _rect_down(boxes)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        depths += area > size * size
    return depths


def _smaller(
    photo: Tensor, box: Sequence[float], angle: float, depth: int
) -> tuple[Tensor, list[float]]:
    """Cut a square and its surroundings out, halved `depth` times; give the box in the result."""
    grow = 2.0
    for _ in range(depth):
        grow = grow * 2 + 2
    left, top, right, bottom = box
    wide, high = (right - left) / 2, (bottom - top) / 2
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    x, y = (left + right) / 2, (top + bottom) / 2
    across, down = wide * cosine + high * sine + grow, wide * sine + high * cosine + grow
    height, width = photo.shape[:2]
    first, upper = (math.floor(max(0.0, low) + 0.5) for low in (x - across, y - down))
    last = math.floor(min(width - 1.0, x + across) + 0.5)
    lower = math.floor(min(height - 1.0, y + down) + 0.5)
    part = photo[upper : lower + 1, first : last + 1]
    halved = [left - first, top - upper, right - first, bottom - upper]
    for _ in range(depth):
        part = _halved(part)
        halved = [side / 2 - less for side, less in zip(halved, _DOWN * 2, strict=True)]
    return part, halved


_WEIGHTS = (1.0, 4.0, 6.0, 4.0, 1.0)


def _halved(photo: Tensor) -> Tensor:
    """Blur and halve a photo, uint8 (height, width, 3), as dlib's pyramid_down<2> does."""
    height, width = photo.shape[:2]
    if min(height, width) <= 8:
        return photo.new_zeros((2, 2, 3))
    planes = photo.permute(2, 0, 1)[:, None].float()
    weights = planes.new_tensor(_WEIGHTS)
    planes = F.conv2d(planes, weights.reshape(1, 1, 1, 5), stride=(1, 2))
    planes = F.conv2d(planes, weights.reshape(1, 1, 5, 1), stride=(2, 1))
    return (planes[:, 0] / 256).floor().permute(1, 2, 0).to(torch.uint8)  # sums are exact
