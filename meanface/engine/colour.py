"""Colours as viewers show them: photos with a colour profile are converted to sRGB."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

# Viewers take a difference this small for none; two profiles of sRGB differ by as much.
_LEAST = 2
_SRGB = ImageCms.createProfile("sRGB")
_KEPT = 8  # profiles: the photos of a set come from a few cameras


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Give an image of 8 bits per channel as RGB in sRGB, without alpha.

    `profile` is the ICC profile of the image. If the profile is missing, of sRGB, damaged or made
    for other channels, Pillow alone converts the image, as viewers do. The intent is perceptual
    with black point compensation, which is what browsers use.
    """
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    transform = _transform(profile, image.mode) if profile else None
    return image.convert("RGB") if transform is None else transform.apply(image)


def over_white(
    image: Image.Image, profile: bytes | None, *, zero_is_opaque: bool = False
) -> Image.Image:
    """Give an image with transparency as RGB in sRGB, drawn over white.

    With `zero_is_opaque`, an alpha that is zero everywhere counts as opaque.
    """
    if image.mode == "La":  # Pillow converts La to nothing but LA
        image = image.convert("LA")
    foreground = to_srgb(image, profile)
    alpha = image.convert("RGBA").getchannel("A")
    if zero_is_opaque and alpha.getextrema() == (0, 0):
        return foreground
    foreground.putalpha(alpha)
    white = Image.new("RGBA", foreground.size, "white")
    return Image.alpha_composite(white, foreground).convert("RGB")


def is_srgb(profile: bytes) -> bool:
    """Tell whether an ICC profile of RGB photos changes no colour."""
    return _transform(profile, "RGB") is None


@lru_cache(_KEPT)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the conversion of a profile to sRGB; None where it changes nothing or fails."""
    try:
        transform = ImageCms.buildTransform(
            io.BytesIO(profile),
            _SRGB,
            mode,
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError:
        return None
    colours = _colours(mode)
    change = np.asarray(transform.apply(colours), int) - np.asarray(colours.convert("RGB"), int)
    return transform if np.abs(change).max() > _LEAST else None


def _colours(mode: str) -> Image.Image:
    """Give an image of colours all over what `mode` can show."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    steps = np.linspace(0, 255, 256 if channels == 1 else 18 - 3 * channels).astype(np.uint8)
    grid = np.stack(np.meshgrid(*[steps] * channels), -1).reshape(1, -1, channels)
    return Image.fromarray(grid[..., 0] if channels == 1 else np.ascontiguousarray(grid), mode)
