"""Decode a photo from untrusted bytes into RGB pixels, or say why that cannot be done."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from meanface.sources.formats import readable_formats

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


class PhotoError(Exception):
    """A photo without an embedding: `reason` (one of the closed set) and `detail` for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def decode(data: bytes, how: str, max_pixels: int) -> NDArray[np.uint8]:
    """Give the photo's pixels, RGB, uint8 (height, width, 3).

    `how` is "full" (EXIF orientation applied, 16 bits per channel scaled to 8, transparency over
    white) or "plain" (Pillow's conversion alone and truncated files filled up with grey, which is
    what face_recognition.load_image_file gives). Of an animation the first frame is taken.

    A photo whose EXIF data are damaged is taken as it is stored.

    Raises PhotoError: not_an_image, truncated (or damaged), too_large (more than `max_pixels`),
    unsupported. MemoryError is left to the caller.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = how == "plain"
    try:
        _check_size(*_webp_size(data), max_pixels)
        with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
            _check_size(*image.size, max_pixels)
            image.load()
            rgb = image.convert("RGB") if how == "plain" else _upright_rgb(image)
            return np.asarray(rgb)
    except (PhotoError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except (EOFError, OSError, SyntaxError) as error:  # what Pillow's decoders raise on cut data
        raise PhotoError("truncated", _line(error)) from error
    except Exception as error:  # anything else that foreign bytes bring a decoder to
        raise PhotoError("unsupported", f"{type(error).__name__}: {_line(error)}") from error


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


def _unidentified(data: bytes) -> PhotoError:
    if not data:
        return PhotoError("not_an_image", "an empty file")
    # ISO base media: HEIC and its kin, which Pillow does not read
    if data[4:8] == b"ftyp" and len(data) >= 12:
        brand = data[8:12].decode("latin-1").strip()
        if brand in ("avif", "avis") and "AVIF" in readable_formats():
            return PhotoError("truncated", "AVIF, but cut short or damaged")
        return PhotoError("unsupported", f"format {brand!r}")
    if data[:2] == b"\xff\n" or data[4:8] == b"JXL ":
        return PhotoError("unsupported", "JPEG XL")
    return PhotoError("not_an_image", f"starts with {data[:8]!r}")


def _upright_rgb(image: Image.Image) -> Image.Image:
    turn = _TO_UPRIGHT.get(_orientation(image))
    upright = image if turn is None else image.transpose(turn)
    if upright.mode == "F":
        raise PhotoError("unsupported", "floating-point pixels")
    if upright.mode.startswith("I"):  # 16 bits in 16 or 32: Pillow's own conversion would clip
        pixels: NDArray[Any] = np.asarray(upright)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise PhotoError("unsupported", "more than 16 bits per pixel")
        return Image.fromarray(np.round(pixels / 257).astype(np.uint8)).convert("RGB")
    if upright.has_transparency_data:
        foreground = upright.convert("RGBA")
        white = Image.new("RGBA", foreground.size, "white")
        return Image.alpha_composite(white, foreground).convert("RGB")
    return upright.convert("RGB")


def _orientation(image: Image.Image) -> object:
    # ImageOps.exif_transpose would do, but it also writes the EXIF data anew, which fails on many
    # that can be read.
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF data tell nothing, and are no reason to lose the photo
        return None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
