"""Decode a photo from untrusted bytes into RGB pixels, or say why that cannot be done."""

import io
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from meanface.engine import jpeg_xl
from meanface.engine.colour import over_white, to_srgb
from meanface.engine.jpeg import has_all_scans, unusual_kind
from meanface.engine.mend import with_other_endings, without_broken_parts
from meanface.engine.png import scale_transparent_colour
from meanface.engine.raw_preview import largest_preview, orientation
from meanface.engine.unread import PhotoError as PhotoError
from meanface.engine.unread import check_kind, unidentified
from meanface.sources.formats import (
    BITS_PER_SAMPLE,
    HEIC,
    JPEG_XL,
    PHOTOMETRIC,
    image_kind,
    raw_kind,
    readable_formats,
)

# What the EXIF orientation asks for: Exif 2.32, 4.6.4, tag 0x0112.
_TO_UPRIGHT: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, how: str, max_pixels: int) -> NDArray[np.uint8]:
    """Give the photo's pixels, RGB, uint8 (height, width, 3).

    `how` is "quick" or "full" (EXIF orientation applied, colours converted to sRGB, 16 bits per
    channel scaled to 8, transparency over white) or "plain" (Pillow's conversion alone and
    truncated files filled up with grey, which is what face_recognition.load_image_file gives). The
    first frame of an animation, the main image of a HEIC, and unless "plain" the largest preview of
    a RAW file count.

    A photo whose EXIF data are damaged is taken as it is stored. Unless "plain", a photo is also
    read where something is broken that is no pixel, such as a missing end mark or a text.

    Raises PhotoError: not_an_image, truncated (or damaged), too_large (more than `max_pixels`),
    unsupported. MemoryError is left to the caller.
    """
    return decode_reduced(data, how, max_pixels, math.inf)[0]


def decode_reduced(
    data: bytes, how: str, max_pixels: int, enough: float
) -> tuple[NDArray[np.uint8], int]:
    """Give what `decode` gives, and by how much it is scaled down: a JPEG by 8, 4 or 2, if at all.

    The JPEG then has `enough` pixels or more. libjpeg leaves out most of the inverse cosine
    transform, which takes less time than to decode all pixels. Damage is seen all the same.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = how == "plain"
    try:
        return _decode(data, how, max_pixels, enough)
    except PhotoError as error:
        if how != "plain" and error.reason != "too_large":
            mended = _mended(data, max_pixels)
            if mended is not None:
                return mended, 1
        raise


def _decode(
    data: bytes, how: str, max_pixels: int, enough: float, orientation_of_raw: object = None
) -> tuple[NDArray[np.uint8], int]:
    """Decode as `decode_reduced` does; `orientation_of_raw` is for previews without their own."""
    try:
        _check_size(*_webp_size(data), max_pixels)
        if how != "plain" and (kind := raw_kind(data)):
            return _preview(data, kind, max_pixels, enough)
        with _open(data, max_pixels) as image:
            _check_size(*image.size, max_pixels)
            if how != "plain":
                check_kind(image, data)
                if image.format == "PNG":
                    scale_transparent_colour(image, data)
            scale = _reduce(image, enough)
            image.load()
            _check_size(*image.size, max_pixels)  # a HEIC may have more than it announces
            if how == "plain":
                return np.asarray(image.convert("RGB")), scale
            return np.asarray(_upright_rgb(image, orientation_of_raw)), scale
    except (PhotoError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise unidentified(data) from None
    except (EOFError, OSError, SyntaxError) as error:  # what Pillow's decoders raise on cut data
        if data.startswith(b"\xff\xd8") and (kind := unusual_kind(data)):
            raise PhotoError("unsupported", kind) from error
        reason = "unsupported" if "nsupported" in str(error) else "truncated"
        raise PhotoError(reason, _line(error)) from error
    except Exception as error:  # anything else that foreign bytes bring a decoder to
        reason = "unsupported"
        if image_kind(data) in (HEIC, JPEG_XL) and "nsupported" not in str(error):
            reason = "too_large" if "Security limit" in str(error) else "truncated"
        raise PhotoError(reason, f"{type(error).__name__}: {_line(error)}") from error


def _open(data: bytes, max_pixels: int) -> AbstractContextManager[Image.Image]:
    kind = image_kind(data)
    if jpeg_xl.IS_READ and kind == JPEG_XL:
        _check_size(*jpeg_xl.size(data), max_pixels)
        return jpeg_xl.read(data)
    formats = [*readable_formats(), *([_heif()] if kind == HEIC else [])]
    return Image.open(io.BytesIO(data), formats=formats)


@cache
def _heif() -> str:
    """Have Pillow open HEIC; give the name of the format."""
    from pi_heif import register_heif_opener  # an import that most jobs can save

    # The other images in a file take time, and are never decoded.
    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return "HEIF"


def _reduce(image: Image.Image, enough: float) -> int:
    """Have a JPEG decoded at the smallest size with `enough` pixels; give the factor."""
    width, height = image.size
    for scale in (8, 4, 2):
        if width * height >= enough * scale**2 and min(width, height) >= scale:
            # Only a JPEG (and an MPO, which is one) can be decoded at a part of its size.
            return scale if image.draft(None, (width // scale, height // scale)) else 1
    return 1


def _preview(
    data: bytes, kind: str, max_pixels: int, enough: float
) -> tuple[NDArray[np.uint8], int]:
    preview = largest_preview(data)
    if preview is None:
        detail = f"{kind} without a preview of at least 640x480 pixels: export it as JPEG"
        raise PhotoError("unsupported", detail)
    return _decode(preview, "full", max_pixels, enough, orientation(data))


def _mended(data: bytes, max_pixels: int) -> NDArray[np.uint8] | None:
    """Give the pixels of a photo that cannot be decoded as it is, if none is missing."""
    kind = image_kind(data)
    try:
        if other := without_broken_parts(data, kind):
            return _decode(other, "full", max_pixels, math.inf)[0]
        if kind == "JPEG" and not has_all_scans(data):
            return None
        first: NDArray[np.uint8] | None = None
        for other in with_other_endings(data, kind):
            pixels, _ = _decode(other, "full", max_pixels, math.inf)
            if first is None:
                first = pixels
            elif not np.array_equal(first, pixels):
                return None
        return first
    except PhotoError:
        return None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PhotoError("too_large", f"{width}x{height} pixels, max_pixels allows {max_pixels}")


def _webp_size(data: bytes) -> tuple[int, int]:
    """The size that a WebP's header announces, RFC 9649; 0, 0 for all else.

    Pillow makes room for that many pixels when it opens one, where memory may run out.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return 0, 0
    match data[12:16]:
        case b"VP8X":
            packed = int.from_bytes(data[24:30], "little")
            return (packed & 0xFFFFFF) + 1, (packed >> 24) + 1
        case b"VP8L":
            packed = int.from_bytes(data[21:25], "little")
            return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    packed = int.from_bytes(data[26:30], "little")
    return packed & 0x3FFF, packed >> 16 & 0x3FFF


def _upright_rgb(image: Image.Image, orientation_of_raw: object) -> Image.Image:
    turn = _TO_UPRIGHT.get(_orientation(image) or orientation_of_raw)
    top, is_negative = _scale(image)
    profile = image.info.get("icc_profile")
    upright = image if turn is None else image.transpose(turn)
    if upright.mode == "F":
        raise PhotoError("unsupported", "floating-point pixels")
    if upright.mode.startswith("I"):  # 16 bits in 16 or 32: Pillow's own conversion would clip
        pixels: NDArray[Any] = np.asarray(upright)
        if pixels.min() < 0 or pixels.max() > top:
            raise PhotoError("unsupported", "more than 16 bits per pixel")
        grey = np.round(pixels * (255 / top)).astype(np.uint8)
        grey[pixels == upright.info.get("transparency", -1)] = 255
        return to_srgb(Image.fromarray(255 - grey if is_negative else grey), profile)
    if upright.has_transparency_data:
        # Windows leaves the alpha of an opaque BMP at zero. Browsers ignore such an alpha too.
        return over_white(upright, profile, zero_is_opaque=image.format == "BMP")
    return to_srgb(upright, profile)


def _scale(image: Image.Image) -> tuple[int, bool]:
    """Give the value of white in more than 8 bits, and whether 0 is white instead.

    TIFF 6.0, section 8: PhotometricInterpretation; Pillow itself turns those of up to 8 bits.
    """
    if image.format != "TIFF":
        return 65535, False
    tags: Mapping[int, Any] = image.tag_v2  # type: ignore[attr-defined]
    return (1 << tags.get(BITS_PER_SAMPLE, (16,))[0]) - 1, tags.get(PHOTOMETRIC) == 0


def _orientation(image: Image.Image) -> object:
    # Not ImageOps.exif_transpose, which also writes the EXIF data again. Pillow can read many EXIF
    # data that it fails to write. HEIC is upright already: pi-heif sets its orientation to 1.
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF data must not lose the photo
        return None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
