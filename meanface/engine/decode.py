"""Decode a photo from untrusted bytes into RGB pixels, or say why that cannot be done."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from meanface.engine.jpeg import has_all_scans, unusual_kind
from meanface.engine.mend import with_other_endings, without_broken_parts
from meanface.sources.formats import (
    BITS_PER_SAMPLE,
    COMPRESSION,
    NEXT_IFD,
    PHOTOMETRIC,
    PLANAR,
    SAMPLE_FORMAT,
    image_kind,
    raw_kind,
    readable_formats,
    tiff_tags,
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

    A photo whose EXIF data are damaged is taken as it is stored. With "full", a photo is also read
    where something is broken that is no pixel, such as a missing end mark or a text.

    Raises PhotoError: not_an_image, truncated (or damaged), too_large (more than `max_pixels`),
    unsupported. MemoryError is left to the caller.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = how == "plain"
    try:
        return _decode(data, how, max_pixels)
    except PhotoError as error:
        if how == "full" and error.reason != "too_large":
            mended = _mended(data, max_pixels)
            if mended is not None:
                return mended
        raise


def _decode(data: bytes, how: str, max_pixels: int) -> NDArray[np.uint8]:
    try:
        _check_size(*_webp_size(data), max_pixels)
        if how == "full" and (kind := raw_kind(data)):
            raise PhotoError("unsupported", f"{kind}: RAW files are not read")
        with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
            _check_size(*image.size, max_pixels)
            if how == "full":
                _check_kind(image, data)
            image.load()
            rgb = image.convert("RGB") if how == "plain" else _upright_rgb(image)
            return np.asarray(rgb)
    except (PhotoError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except (EOFError, OSError, SyntaxError) as error:  # what Pillow's decoders raise on cut data
        if data.startswith(b"\xff\xd8") and (kind := unusual_kind(data)):
            raise PhotoError("unsupported", kind) from error
        raise PhotoError("truncated", _line(error)) from error
    except Exception as error:  # anything else that foreign bytes bring a decoder to
        raise PhotoError("unsupported", f"{type(error).__name__}: {_line(error)}") from error


def _mended(data: bytes, max_pixels: int) -> NDArray[np.uint8] | None:
    """Give the pixels of a photo that cannot be decoded as it is, if none is missing."""
    kind = image_kind(data)
    try:
        if other := without_broken_parts(data, kind):
            return _decode(other, "full", max_pixels)
        if kind == "JPEG" and not has_all_scans(data):
            return None
        first: NDArray[np.uint8] | None = None
        for other in with_other_endings(data, kind):
            pixels = _decode(other, "full", max_pixels)
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


def _unidentified(data: bytes) -> PhotoError:
    if not data:
        return PhotoError("not_an_image", "an empty file")
    kind = image_kind(data)
    if kind == "JPEG" and (unusual := unusual_kind(data)):
        return PhotoError("unsupported", unusual)
    if kind == "TIFF" and NEXT_IFD in (tags := tiff_tags(data)):
        return PhotoError("unsupported", _tiff_kind(tags))
    if kind in ("JPEG", "PNG", "GIF", "WebP", "TIFF", "BMP", "JPEG 2000") or (
        kind == "AVIF" and "AVIF" in readable_formats()
    ):
        return PhotoError("truncated", f"{kind}, but cut short or damaged")
    if kind:
        return PhotoError("unsupported", kind)
    if data[4:8] == b"ftyp" and len(data) >= 12:  # ISO base media, such as a video
        return PhotoError("unsupported", f"format {data[8:12].decode('latin-1').strip()!r}")
    return PhotoError("not_an_image", f"starts with {data[:8]!r}")


def _check_kind(image: Image.Image, data: bytes) -> None:
    """Raise PhotoError for kinds that Pillow opens and decodes wrongly, or cannot decode."""
    if image.format == "TIFF":
        _check_tiff(image.tag_v2)  # type: ignore[attr-defined]
    elif image.format == "JPEG2000":
        _check_jpeg2000(data)


# Compressions of TIFF that Pillow reads: none, CCITT, LZW, JPEG, deflate, PackBits, LZMA, zstd.
_TIFF_READ = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000}
_YCBCR = 6


def _check_tiff(tags: Mapping[int, Any]) -> None:
    first = {tag: value[0] if isinstance(value, tuple) else value for tag, value in tags.items()}
    bits, compression = first.get(BITS_PER_SAMPLE, 1), first.get(COMPRESSION, 1)
    if first.get(SAMPLE_FORMAT, 1) == 3:
        raise PhotoError("unsupported", "floating-point pixels")
    if bits > 16:
        raise PhotoError("unsupported", "more than 16 bits per pixel")
    is_subsampled = first.get(PHOTOMETRIC) == _YCBCR and tags.get(530, (2, 2)) != (1, 1)
    if (
        first.get(SAMPLE_FORMAT, 1) != 1
        or compression not in _TIFF_READ
        # Pillow takes each plane for one of 8 bits.
        or (first.get(PLANAR) == 2 and bits > 8 and compression == 1)
        or (is_subsampled and compression not in (6, 7))
    ):
        raise PhotoError("unsupported", _tiff_kind(first))


def _tiff_kind(tags: Mapping[int, Any]) -> str:
    names = {BITS_PER_SAMPLE: "bits", COMPRESSION: "compression", PHOTOMETRIC: "photometric"}
    names |= {SAMPLE_FORMAT: "sample format", PLANAR: "planes"}
    told = ", ".join(f"{name} {tags[tag]}" for tag, name in names.items() if tag in tags)
    compression = {33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000"}
    within = compression.get(tags.get(COMPRESSION, 1), "")
    return f"{within} in TIFF ({told})" if within else f"a TIFF of a kind that is not read ({told})"


def _check_jpeg2000(data: bytes) -> None:
    """Refuse what is read wrongly: Pillow's highlights wrap where several channels are rounded.

    Channels have the bits that the marker SIZ announces: ISO/IEC 15444-1, A.5.1.
    """
    start = data.find(b"\xff\x4f\xff\x51") + 4
    count = int.from_bytes(data[start + 36 : start + 38], "big")
    channels = data[start + 38 : start + 38 + 3 * count : 3]
    bits = {(channel & 0x7F) + 1 for channel in channels}
    is_right = bits == {8} or (count == 1 and max(bits, default=0) in range(8, 17))
    if not is_right or any(channel & 0x80 for channel in channels):
        told = "/".join(map(str, sorted(bits)))
        raise PhotoError("unsupported", f"JPEG 2000 of {told} bits per channel")


def _upright_rgb(image: Image.Image) -> Image.Image:
    turn = _TO_UPRIGHT.get(_orientation(image))
    top, is_negative = _scale(image)
    upright = image if turn is None else image.transpose(turn)
    if upright.mode == "F":
        raise PhotoError("unsupported", "floating-point pixels")
    if upright.mode.startswith("I"):  # 16 bits in 16 or 32: Pillow's own conversion would clip
        pixels: NDArray[Any] = np.asarray(upright)
        if pixels.min() < 0 or pixels.max() > top:
            raise PhotoError("unsupported", "more than 16 bits per pixel")
        grey = np.round(pixels * (255 / top)).astype(np.uint8)
        return Image.fromarray(255 - grey if is_negative else grey).convert("RGB")
    if upright.has_transparency_data:
        foreground = upright.convert("RGBA")
        white = Image.new("RGBA", foreground.size, "white")
        return Image.alpha_composite(white, foreground).convert("RGB")
    return upright.convert("RGB")


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
    # data that it fails to write.
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF data must not lose the photo
        return None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
