"""Copies of a face are told from other photos of the same person."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from skimage import data

from meanface.report.near_duplicates import SAME, likeness, small


def jpeg(photo: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=40)
    return Image.open(stream)


def moved(photo: Image.Image) -> Image.Image:
    """As landmarks are off: turned by 2 degrees, larger by 4 %, shifted by 3 pixels."""
    turned = photo.rotate(2, Image.Resampling.BICUBIC, translate=(3, -2))
    return turned.crop((3, 3, 147, 147)).resize((150, 150))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda photo: photo.resize((75, 75)).resize((150, 150)),
    "quality 40": jpeg,
    "mirrored": ImageOps.mirror,
    "moved": moved,
    "mirrored and moved": lambda photo: moved(ImageOps.mirror(photo)),
    "brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.2),
}


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return Image.fromarray(data.astronaut()[20:200, 130:310]).resize((150, 150))


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_like_its_original(kind: str, face: Image.Image) -> None:
    copy = COPIES[kind](face)
    assert likeness(small(np.asarray(face)), small(np.asarray(copy))) > SAME


def test_another_picture_is_not_alike(face: Image.Image) -> None:
    other = Image.fromarray(data.lfw_subset()[0]).resize((150, 150))
    grey = np.asarray(Image.fromarray((255 * np.asarray(other)).astype(np.uint8)).convert("RGB"))
    assert likeness(small(np.asarray(face)), small(grey)) < 0.6
    flat = np.full((150, 150, 3), 99, np.uint8)
    assert likeness(small(np.asarray(face)), small(flat)) < 0.1
