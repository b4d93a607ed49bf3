"""Pixels of the sample's photos."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from meanface.engine.decode import decode
from tests.unit.engines import sample

Pixels = NDArray[np.uint8]
NAMES = (
    "Eileen_Collins/Eileen_Collins_0001.jpg",
    "Grace_Hopper/Grace_Hopper_0001.jpg",
    "Cameraman/Cameraman_0001.jpg",
)


@cache
def pixels_of(name: str) -> Pixels:
    """Decode a photo, uint8 RGB (height, width, 3)."""
    data = sample()[name].data
    assert data is not None
    return decode(data, "full", 10**9)


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Scale a photo."""
    return np.array(Image.fromarray(pixels).resize((width, height)))


def tensors(photos: Sequence[Pixels]) -> list[Tensor]:
    """Give photos to PyTorch."""
    return [torch.from_numpy(photo.copy()) for photo in photos]
