"""The photo that a camera puts into a RAW file is read, upright, at its full size."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.decode import PhotoError, decode
from meanface.sources.formats import raw_kind
from tests.made_photos import RAWS, raw, saved
from tests.unit.engine.exif_turns import TURNS

MANY = 10**7


def tiles(height: int = 480, width: int = 640) -> NDArray[np.uint8]:
    colours = np.random.default_rng(height).integers(0, 256, (height // 80, width // 80, 3))
    return colours.repeat(80, 0).repeat(80, 1).astype(np.uint8)


def jpeg(pixels: NDArray[np.uint8], **options: object) -> bytes:
    return saved(Image.fromarray(pixels), "JPEG", quality=95, subsampling=0, **options)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def is_shown(data: bytes, pixels: NDArray[np.uint8]) -> bool:
    shown = decode(data, "full", MANY)
    return shown.shape == pixels.shape and bool(np.abs(shown.astype(int) - pixels).max() <= 6)


@pytest.mark.parametrize("kind", RAWS)
def test_the_largest_preview_is_the_photo(kind: str) -> None:
    previews = [jpeg(tiles(160, 240)), jpeg(tiles(720, 960)), jpeg(tiles())]
    data = raw(kind, *previews)
    assert raw_kind(data) == kind
    assert is_shown(data, tiles(720, 960))


@pytest.mark.parametrize("kind", RAWS)
@pytest.mark.parametrize("orientation", TURNS)
def test_a_preview_is_turned_once(kind: str, orientation: int) -> None:
    """By its own orientation or, if it has none, by that of the RAW file."""
    upright = TURNS[orientation](tiles())
    own = jpeg(tiles(), exif=turned(orientation))
    assert is_shown(raw(kind, own, orientation=orientation), upright)
    assert is_shown(raw(kind, own, orientation=1), upright)
    if kind not in ("Fujifilm RAF", "Sigma X3F"):  # which have it in the preview alone
        assert is_shown(raw(kind, jpeg(tiles()), orientation=orientation), upright)


def test_pixels_of_the_sensor_are_no_preview() -> None:
    lossless = saved(Image.fromarray(tiles(720, 960)), "JPEG").replace(b"\xff\xc0", b"\xff\xc3")
    assert is_shown(raw("DNG", lossless, jpeg(tiles())), tiles())
    tile = jpeg(tiles(720, 960))
    assert is_shown(raw("DNG", tile, tile, jpeg(tiles()), tile=(960, 720)), tiles())


def test_a_thumbnail_is_no_photo() -> None:
    for data in (raw("DNG"), raw("DNG", jpeg(tiles(400, 640)))):
        with pytest.raises(PhotoError) as caught:
            decode(data, "full", MANY)
        assert (caught.value.reason, caught.value.detail) == (
            "unsupported",
            "DNG without a preview of at least 640x480 pixels: export it as JPEG",
        )


def test_a_preview_that_is_cut_or_large_says_so() -> None:
    data = raw("Sigma X3F", jpeg(tiles()))
    for end, most, reason in ((-3000, MANY, "truncated"), (None, 640 * 480 - 1, "too_large")):
        with pytest.raises(PhotoError) as caught:
            decode(data[:end], "full", most)
        assert caught.value.reason == reason


def test_beginnings_of_jpegs_without_end_take_no_time() -> None:
    """A search from each of them to the end of the file would take hours."""
    segment = b"\xff\xd8\xff\xe0\0\2"
    with pytest.raises(PhotoError):
        decode(b"FOVb" + segment * 3_000_000, "full", MANY)
