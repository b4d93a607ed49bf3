"""Which photos a GPU decodes, and how they are turned."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

torch = pytest.importorskip("torch")

from meanface.engine.gpu.decode import plain_jpeg, turned  # noqa: E402
from tests.made_photos import profile  # noqa: E402
from tests.unit.engines import sample  # noqa: E402

MOST = 50_000_000
NOISE = np.random.default_rng(5).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    """A photo of 60 x 40 pixels."""
    stream = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        jpeg("L"),
        jpeg(progressive=True),
        jpeg(subsampling=0),
        jpeg(restart_marker_rows=1),
        jpeg(icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        jpeg() + b"what a camera writes after the end",
    ],
    ids=["plain", "grey", "progressive", "4:4:4", "restarts", "sRGB", "more"],
)
def test_usual_photos(data: bytes) -> None:
    plain = plain_jpeg(data, MOST)
    assert plain is not None
    assert (plain.height, plain.width, plain.orientation, plain.data) == (40, 60, 1, data)


def changed(data: bytes, offset: int, new: bytes) -> bytes:
    """Write other bytes that many bytes behind the marker of the frame."""
    at = data.index(b"\xff\xc0") + offset
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        jpeg()[:2],
        jpeg()[:300],
        jpeg()[:-700],
        jpeg(progressive=True)[:-700],
        jpeg(progressive=True)[:-700] + b"\xff\xd9",
        jpeg("CMYK"),
        jpeg(keep_rgb=True),
        changed(jpeg(), 1, b"\xc1"),
        changed(jpeg(), 1, b"\xc9"),
        changed(jpeg(), 4, b"\x0c"),
        changed(jpeg(), 5, b"\0\0"),
        jpeg(icc_profile=profile("Display P3")),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
    ],
    ids=[
        *("empty", "two bytes", "tables alone", "truncated", "progressive, truncated"),
        *("progressive, lacks a scan", "CMYK", "RGB", "extended", "arithmetic", "12 bits"),
        *("height after the pixels", "Display P3", "PNG"),
    ],
)
def test_what_is_left_to_the_processor(data: bytes) -> None:
    assert plain_jpeg(data, MOST) is None


def test_a_photo_with_too_many_pixels_is_left_to_the_processor() -> None:
    assert plain_jpeg(jpeg(), 2400) is not None
    assert plain_jpeg(jpeg(), 2399) is None


def test_no_bytes_break_it() -> None:
    random, whole = np.random.default_rng(6), jpeg(progressive=True, exif=exif(6))
    for end in range(0, len(whole), 7):
        assert plain_jpeg(whole[:end], MOST) is None
    for _ in range(2000):
        data = bytearray(whole)
        for at in random.integers(0, 700, 3).tolist():
            data[at] = int(random.integers(256))
        plain_jpeg(bytes(data), MOST)


def exif(orientation: int) -> bytes:
    """EXIF data with an orientation, as TIFF 6.0 writes a directory."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 1) + entry + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_data_ask_for(orientation: int) -> None:
    data = jpeg(exif=exif(orientation), subsampling=0)
    plain = plain_jpeg(data, MOST)
    assert plain is not None
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
        stored = torch.from_numpy(np.array(image))
    found = turned(stored, plain.orientation)
    assert found.is_contiguous()
    np.testing.assert_array_equal(found.numpy(), expected)


def test_photos_of_the_sample() -> None:
    usual = [
        name
        for name, photo in sample().items()
        if photo.data is not None and plain_jpeg(photo.data, MOST)
    ]
    assert "Failures/Cut_off.jpg" not in usual
    assert "Eileen_Collins/Eileen_Collins_0001.jpg" in usual
    assert all(name.lower().endswith(".jpg") for name in usual)
