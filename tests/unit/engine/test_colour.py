"""Colours as viewers show them, against pixels that numpy converts by the spaces' definitions."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from meanface.engine.chips import open_cut
from meanface.engine.colour import to_srgb
from meanface.engine.decode import decode
from meanface.engine.embed import Embed
from meanface.engine.outcome import Failure
from tests.made_photos import SPACES, cmyk_profile, heic, jpeg_xl_with_profile, profile, saved
from tests.unit.engines import Open, sample, settings

MANY = 10**6
Pixels = NDArray[Any]


def colours() -> NDArray[np.uint8]:
    """Blocks of every colour in steps of 51, (48, 288, 3): lossy formats keep their middles."""
    steps = np.arange(0, 256, 51)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(6, 36, 3)
    return cube.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def to_xyz(primaries: list[tuple[float, float]]) -> Pixels:
    """Give the matrix from linear RGB to XYZ: IEC 61966-2-1, of chromaticities and white D65."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    x, y = 0.3127, 0.3290
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


def in_space(pixels: Pixels, name: str) -> Pixels:
    """Convert sRGB to the RGB of a space, from 0 to 255."""
    primaries, gamma = SPACES[name]
    value = pixels / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    srgb = to_xyz([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
    light = np.clip(light @ (np.linalg.inv(to_xyz(primaries)) @ srgb).T, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return 255 * (curve if gamma == "srgb" else light ** (1 / float(gamma)))


def in_srgb(pixels: Pixels, name: str) -> Pixels:
    """Convert RGB of a space to sRGB, from 0 to 255. Colours outside of sRGB are clipped."""
    primaries, gamma = SPACES[name]
    value = pixels / 255
    curve = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = curve if gamma == "srgb" else value ** float(gamma)
    srgb = to_xyz([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
    light = np.clip(light @ (np.linalg.inv(srgb) @ to_xyz(primaries)).T, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def middles(pixels: Pixels) -> Pixels:
    return pixels[4::8, 4::8].astype(float)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC", "JPEG XL"])
def test_wide_colours_are_converted_unless_plain(kind: str, name: str) -> None:
    icc = profile(name)
    image = Image.fromarray(colours())
    options: dict[str, Any] = {"JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    if kind in ("WEBP", "AVIF"):
        options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": "4:4:4"}
    if kind == "HEIC":
        data = heic(colours(), icc_profile=icc)
    elif kind == "JPEG XL":
        data = jpeg_xl_with_profile(colours(), icc)
    else:
        data = saved(image, kind, icc_profile=icc, **options)
    stored, shown = middles(decode(data, "plain", MANY)), middles(decode(data, "full", MANY))
    assert np.abs(stored - middles(colours())).max() <= 3
    assert np.abs(stored - in_srgb(middles(colours()), name)).max() > 30
    assert np.abs(shown - in_srgb(stored, name)).max() <= 3


def test_grey_with_a_gamma_of_its_own_is_converted_with_8_and_16_bits() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(8, 32)
    light = (grey / 255) ** 1.8
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    for pixels in (grey, grey.astype(np.uint16) * 257):
        data = saved(Image.fromarray(pixels), "PNG", icc_profile=profile("grey"))
        shown = decode(data, "full", MANY)
        assert np.abs(shown - 255 * curve[..., None]).max() <= 2


def test_colours_below_transparency_and_of_a_palette_are_converted() -> None:
    icc = profile("Adobe RGB")
    image = Image.new("RGBA", (4, 4), (100, 150, 100, 128))
    below = in_srgb(np.array([100, 150, 100]), "Adobe RGB") * 128 / 255 + 255 * 127 / 255
    assert np.abs(decode(saved(image, "PNG", icc_profile=icc), "full", MANY) - below).max() <= 2
    palette = Image.new("RGB", (4, 4), (100, 150, 100)).quantize(2)
    expected = in_srgb(np.array([100, 150, 100]), "Adobe RGB")
    shown = decode(saved(palette, "PNG", icc_profile=icc), "full", MANY)
    assert np.abs(shown - expected).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_ink_is_shown_as_its_profile_says_or_as_by_pillow_without(kind: str) -> None:
    ink = np.zeros((16, 48, 4), np.uint8)
    ink[:, 16:32, 3], ink[:, 32:, 0] = 255, 255  # paper, black, cyan
    image = Image.frombytes("CMYK", (48, 16), ink.tobytes())
    with_profile = decode(saved(image, kind, icc_profile=cmyk_profile()), "full", MANY)
    without = decode(saved(image, kind), "full", MANY)
    paper, black, cyan = (with_profile[8, x].astype(int) for x in (8, 24, 40))
    assert paper.min() > 250
    assert black.max() < 10  # the black of ink becomes the black of a screen
    assert cyan[0] < 150 < cyan[1]
    assert np.abs(without[8, [8, 24, 40]] - [[255] * 3, [0] * 3, [0, 255, 255]]).max() <= 2


def test_srgb_and_profiles_that_do_not_belong_change_no_bit() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(colours())
    for icc in (srgb, b"damaged", profile("grey"), cmyk_profile(), profile("Display P3")[:300]):
        data = saved(image, "PNG", icc_profile=icc)
        assert Image.open(io.BytesIO(data)).info["icc_profile"] == icc
        assert np.array_equal(decode(data, "full", MANY), colours())


@pytest.mark.parametrize("name", SPACES)
def test_the_embedding_of_a_chip_does_not_depend_on_its_colour_space(
    name: str, engine: Open, models: Path
) -> None:
    """With the profile, chips in another space are as near as rounding allows; without, farther.

    Prints the distances: the same chips, so that no box or landmark moves.
    """
    chosen = settings()
    files = {Path(model).stem: models / model for model in chosen.models}
    cut, embed = open_cut(chosen, files), Embed(chosen, files)
    chips = []
    for one in sample().values():
        (found,) = engine().encode([one])
        if not isinstance(found, Failure) and one.data is not None:
            pixels = decode(one.data, "full", MANY)
            cuts = cut([(pixels, face.face, face.detector) for face in found])
            chips += [chip.pixels for chip in cuts if chip is not None]
    true = embed([(chip, "") for chip in chips])
    wide = [np.round(in_space(chip, name)).astype(np.uint8) for chip in chips]
    moved = {}
    for icc in (profile(name), None):
        shown = [np.asarray(to_srgb(Image.fromarray(chip), icc)) for chip in wide]
        moved[icc is not None] = np.linalg.norm(embed([(c, "") for c in shown]) - true, axis=1)
        print(
            name, icc is not None, np.median(moved[icc is not None]), moved[icc is not None].max()
        )
    assert len(chips) > 10
    assert moved[True].max() < 0.01
    assert np.median(moved[False]) > 0.02
