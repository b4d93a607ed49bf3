"""Squares cut out of photos on a GPU, as dlib's `extract_image_chip` cuts them.

Steps and constants are those of dlib 20 (image_transforms/interpolation.h and image_pyramid.h).
"""

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
    """Give the squares in `size` x `size` pixels, uint8 (m, size, size, 3); black outside."""
    depths = _depths(places.boxes, size)
    cuts = pixels.flat.new_empty((len(depths), size, size, 3))
    _fill(cuts, torch.nonzero(depths == 0)[:, 0], pixels, places)
    if deep := torch.nonzero(depths)[:, 0].tolist():
        smaller, boxes = zip(
            *(_smaller(pixels, places, one, int(depths[one])) for one in deep), strict=True
        )
        which = torch.tensor(deep, device=cuts.device)
        numbers = torch.arange(len(deep), device=cuts.device)
        part = cuts[which]
        _fill(
            part,
            numbers,
            Pixels.of(smaller),
            Places(numbers, torch.stack(boxes), places.angles[which]),
        )
        cuts[which] = part
    return cuts


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


def _smaller(pixels: Pixels, places: Places, number: int, depth: int) -> tuple[Tensor, Tensor]:
    """Cut a square and its surroundings out, halved `depth` times; give the box in the result."""
    photo = pixels.photo(int(places.photos[number]))
    box, angle = places.boxes[number].cpu(), float(places.angles[number])
    grow = 2.0
    for _ in range(depth):
        grow = grow * 2 + 2
    middle = (box[:2] + box[2:]) / 2
    half = (box[2:] - box[:2]) / 2
    cosine, sine = abs(torch.tensor(angle).cos()), abs(torch.tensor(angle).sin())
    reach = torch.stack([half[0] * cosine + half[1] * sine, half[0] * sine + half[1] * cosine])
    height, width = photo.shape[:2]
    left, top = ((middle - reach - grow).clamp(min=0) + 0.5).floor().long().tolist()
    right, bottom = (
        (torch.minimum(middle + reach + grow, torch.tensor([width - 1.0, height - 1.0])) + 0.5)
        .floor()
        .long()
        .tolist()
    )
    part = photo[top : bottom + 1, left : right + 1]
    box = box - box.new_tensor([left, top, left, top])
    for _ in range(depth):
        part, box = _halved(part), _rect_down(box)
    return part, box.to(places.boxes.device)


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
