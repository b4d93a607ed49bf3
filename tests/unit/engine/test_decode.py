"""Decoding photos, against pixels known by hand."""

import io
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.decode import PhotoError, decode

MANY = 10**6


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def gradient(height: int = 4, width: int = 6) -> NDArray[np.uint8]:
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
@pytest.mark.parametrize("how", ["full", "plain"])
def test_lossless_formats_give_their_pixels(kind: str, how: str) -> None:
    data = saved(
        Image.fromarray(gradient()), kind, **({"lossless": True} if kind == "WEBP" else {})
    )
    pixels = decode(data, how, MANY)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, gradient())


# EXIF 2.32, tag 0x0112: what has to be done to the stored pixels to see the photo upright.
UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied_unless_plain(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(gradient()), "PNG", exif=exif)
    assert np.array_equal(decode(data, "full", MANY), UPRIGHT[orientation](gradient()))
    assert np.array_equal(decode(data, "plain", MANY), gradient())


def test_16_bits_are_scaled_unless_plain() -> None:
    deep = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    data = saved(Image.fromarray(deep), "PNG")
    assert decode(data, "full", MANY)[..., 0].tolist() == [[0, 1, 128, 255]]
    assert decode(data, "plain", MANY)[..., 0].tolist() == [[0, 255, 255, 255]]


def test_transparency_is_laid_over_white_unless_plain() -> None:
    image = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    assert decode(saved(image, "PNG"), "full", MANY).tolist() == [[[255, 255, 255]]]
    assert decode(saved(image, "PNG"), "plain", MANY).tolist() == [[[10, 20, 30]]]


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, "full", MANY)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "PA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "PA") else "PNG"
    image = Image.new("L", (2, 2), 255).convert("LA" if mode == "PA" else "L").convert(mode)
    assert decode(saved(image, kind), "full", MANY).tolist() == [[[255] * 3] * 2] * 2


def reason(data: bytes, how: str = "full", most: int = MANY) -> str:
    with pytest.raises(PhotoError) as raised:
        decode(data, how, most)
    assert "\n" not in raised.value.detail
    return raised.value.reason


def test_what_cannot_be_decoded_has_its_reason() -> None:
    jpeg = saved(Image.fromarray(gradient(64, 64)), "JPEG")
    png = saved(Image.fromarray(gradient(64, 64)), "PNG")
    assert reason(b"") == "not_an_image"
    assert reason(b"<html>404</html>") == "not_an_image"
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "not_an_image"
    assert reason(jpeg[: len(jpeg) // 2]) == "truncated"
    assert reason(png[: len(png) // 2]) == "truncated"
    assert reason(jpeg, most=64 * 64 - 1) == "too_large"
    assert reason(b"\0\0\0\x18ftypheic" + bytes(12)) == "unsupported"
    assert reason(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(12)) == "unsupported"
    assert reason(b"\xff\n" + bytes(12)) == "unsupported"
    floats = Image.fromarray(np.zeros((2, 2), dtype=np.float32))
    assert reason(saved(floats, "TIFF")) == "unsupported"
    wide = Image.fromarray(np.full((2, 2), 65536, dtype=np.int32))
    assert reason(saved(wide, "TIFF")) == "unsupported"


def test_plain_fills_up_a_truncated_photo() -> None:
    jpeg = saved(Image.fromarray(gradient(64, 64)), "JPEG")
    assert decode(jpeg[: len(jpeg) // 2], "plain", MANY).shape == (64, 64, 3)
    assert reason(jpeg[: len(jpeg) // 2], "full") == "truncated"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    side = (100_000).to_bytes(4)
    header = b"IHDR" + side + side + bytes([8, 2, 0, 0, 0])
    start = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + header + zlib.crc32(header).to_bytes(4)
    assert reason(start + saved(Image.fromarray(gradient()), "PNG")[33:], most=10**8) == "too_large"
