"""Squares cut out of photos on a GPU, as dlib's `extract_image_chip` cuts them.

Steps and constants are those of dlib 20 (image_transforms/interpolation.h and image_pyramid.h).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_TOGETHER = 6 << 20  # pixels of squares: their places take most memory


@dataclass(frozen=True)
class Pixels:
    """Photos of any sizes, uint8 (height, width, 3), and the same one after the other.

    `flat` is uint8 (pixels, 3), RGB, and begins with two black pixels. `starts`, int64 (n,), tells
    where each photo begins in `flat`; `sizes`, int64 (n, 2), how wide and how high it is.
    """

    photos: tuple[Tensor, ...]
    flat: Tensor
    starts: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, photos: Sequence[Tensor]) -> "Pixels":
        """Join photos, uint8 (height, width, 3)."""
        sizes = [(photo.shape[1], photo.shape[0]) for photo in photos]
        starts = accumulate((width * height for width, height in sizes[:-1]), initial=2)
        flat = torch.cat([photos[0].new_zeros(2, 3), *(photo.reshape(-1, 3) for photo in photos)])
        rows = [(start, *size) for start, size in zip(starts, sizes, strict=True)]
        table = torch.tensor(rows, device=flat.device)
        return cls(tuple(photos), flat, table[:, 0], table[:, 1:])

    def brightness(self, photos: Tensor, at: Tensor) -> Tensor:
        """Give the mean of red, green and blue, rounded down, int16 (m, k); 0 outside a photo.

        `photos` (m,) are numbers of photos, `at`, int64 (m, k, 2), x and y of pixels in them.
        """
        sizes = self.sizes[photos][:, None]
        inside = ((at >= 0) & (at < sizes)).all(dim=2)
        start, (x, y) = self.starts[photos, None], at.unbind(dim=2)
        index = torch.addcmul(start + x, y, sizes[..., 0]) * inside  # 0: a black pixel
        return self.flat[index].sum(dim=-1, dtype=torch.int16).floor_divide_(3)


@dataclass(frozen=True)
class Places:
    """Squares of photos. `photos`: int64 (m,); `boxes`: float64 (m, 4), left, top, right, bottom.

    Each is turned around its middle by `angles`, float64 (m,), in radians and clockwise.
    """

    photos: Tensor
    boxes: Tensor
    angles: Tensor

    def take(self, which: Tensor) -> "Places":
        """Give some of the places, by their numbers."""
        return Places(self.photos[which], self.boxes[which], self.angles[which])

    def part(self, start: int, end: int) -> "Places":
        """Give the places from `start` to before `end`."""
        return Places(self.photos[start:end], self.boxes[start:end], self.angles[start:end])

    def turned(self, angle: float, size: float) -> "Places":
        """Give squares turned by `angle` more, with sides of `size` times the length."""
        middle = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        half = (self.boxes[:, 2:] - self.boxes[:, :2]) * (size / 2)
        boxes = torch.cat([middle - half, middle + half], dim=1)
        return Places(self.photos, boxes, self.angles + angle)


def cut_out(pixels: Pixels, places: Places, size: int, *, exact: bool) -> Tensor:
    """Give the squares in `size` x `size` pixels, uint8 (m, size, size, 3); black outside.

    Photos are halved first where a square has many more pixels, so that none is skipped.
    """
    return sampled(*halved(pixels, places, size), size, exact=exact)


def halved(pixels: Pixels, places: Places, size: int, reach: float = 1.0) -> tuple[Pixels, Places]:
    """Give the squares in photos that are halved as often as `size` x `size` pixels of each need.

    A halved photo has the square and its surroundings alone, `reach` times as far as the square.
    """
    depths = _depths(places.boxes, size)
    columns = [places.photos, depths, places.angles, *places.boxes.T]
    rows = torch.stack([column.double() for column in columns], dim=1).tolist()
    if not any(depth for _, depth, *_ in rows):
        return pixels, places
    smaller, boxes = zip(
        *(
            _smaller(pixels.photos[int(photo)], box, angle, int(depth), reach)
            for photo, depth, angle, *box in rows
        ),
        strict=True,
    )
    numbers = torch.arange(len(rows), device=places.photos.device)
    return Pixels.of(smaller), Places(numbers, places.boxes.new_tensor(boxes), places.angles)


def sampled(pixels: Pixels, places: Places, size: int, *, exact: bool) -> Tensor:
    """Give the squares as `cut_out` does, without halving the photos.

    `exact`: every pixel is dlib's. Otherwise some are one brighter or darker, in less time.
    """
    count = max(1, _TOGETHER // size**2)
    return torch.cat(
        [
            _sampled(pixels, places.part(start, start + count), size, exact)
            for start in range(0, len(places.photos), count)
        ]
    )


def _sampled(pixels: Pixels, places: Places, size: int, exact: bool) -> Tensor:
    """Interpolate between the four pixels around each place."""
    x, y = _grid(places, size)
    width, height = pixels.sizes[places.photos].T[..., None, None]
    start = pixels.starts[places.photos][:, None, None]
    inside = (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
    # Outside, both rows are the black pixels at the start of `flat`.
    upper = torch.addcmul(start + x.long(), y.long(), width) * inside
    dtype, between = (torch.float64, _between) if exact else (torch.float32, torch.lerp)
    right, low = x.frac().to(dtype)[..., None], (y.frac().to(dtype) * inside)[..., None]
    pairs = pixels.flat.as_strided((len(pixels.flat) - 1, 6), (3, 1))  # a pixel and the next one
    rows = (pairs[at].to(dtype) for at in (upper, upper + width))
    above, below = (between(row[..., :3], row[..., 3:], right) for row in rows)
    return between(above, below, low).to(torch.uint8)


def _between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Interpolate as dlib does: a sum just below a whole number is rounded down."""
    return (1 - share) * first + share * second


def _grid(places: Places, size: int) -> tuple[Tensor, Tensor]:
    """Give the places of the pixels of each square, float64 (m, size, size)."""
    middle = (places.boxes[:, :2] + places.boxes[:, 2:]) / 2
    side = places.boxes[:, 2:] - places.boxes[:, :2]
    steps = torch.linspace(0, 1, size, dtype=torch.float64, device=middle.device) - 0.5
    across, down = steps * side[:, :1], steps * side[:, 1:]
    cosine, sine = places.angles.cos()[:, None], places.angles.sin()[:, None]
    x = (across * cosine + middle[:, :1])[:, None] - (down * sine)[:, :, None]
    y = (down * cosine + middle[:, 1:])[:, :, None] + (across * sine)[:, None]
    return x, y


_DOWN = (1.25, 0.75)  # what dlib's pyramid_down<2> takes off halved coordinates


def _depths(boxes: Tensor, size: int) -> Tensor:
    """Tell how often to halve each photo so that its square has about `size` x `size` pixels."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1, keepdim=True)
    powers = 4.0 ** torch.arange(1, 17, device=boxes.device)
    return (area > size * size * powers).sum(dim=1)


def _smaller(
    photo: Tensor, box: Sequence[float], angle: float, depth: int, reach: float
) -> tuple[Tensor, list[float]]:
    """Cut a square and its surroundings out, halved `depth` times; give the box in the result."""
    if not depth:
        return photo, list(box)
    grow = 2.0
    for _ in range(depth):
        grow = grow * 2 + 2
    left, top, right, bottom = box
    wide, high = reach * (right - left) / 2, reach * (bottom - top) / 2
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    x, y = (left + right) / 2, (top + bottom) / 2
    across, down = wide * cosine + high * sine + grow, wide * sine + high * cosine + grow
    height, width = photo.shape[:2]
    first, upper = (math.floor(max(0.0, low) + 0.5) for low in (x - across, y - down))
    last = math.floor(min(width - 1.0, x + across) + 0.5)
    lower = math.floor(min(height - 1.0, y + down) + 0.5)
    part = photo[upper : lower + 1, first : last + 1]
    there = [left - first, top - upper, right - first, bottom - upper]
    for _ in range(depth):
        there = [side / 2 - less for side, less in zip(there, _DOWN * 2, strict=True)]
    return _halved(part, depth), there


def _halved(photo: Tensor, times: int) -> Tensor:
    """Blur and halve a photo, uint8 (height, width, 3), as dlib's pyramid_down<2> does."""
    planes = photo.permute(2, 0, 1)[:, None].float()
    for _ in range(times):
        if min(planes.shape[2:]) <= 8:
            return photo.new_zeros((2, 2, 3))
        planes = F.conv2d(planes, _blur(planes.device), stride=2).floor_()  # sums are exact
    return planes[:, 0].permute(1, 2, 0).to(torch.uint8)


@cache
def _blur(device: torch.device) -> Tensor:
    weights = torch.tensor((1.0, 4.0, 6.0, 4.0, 1.0), device=device) / 16
    return torch.outer(weights, weights)[None, None]
