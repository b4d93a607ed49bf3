"""Why a photo is not read: a kind that Pillow decodes wrongly or not at all, or damage."""

from collections.abc import Mapping
from typing import Any

from PIL import Image

from meanface.engine import jpeg_xl
from meanface.engine.jpeg import unusual_kind
from meanface.engine.png import has_sound_pixels
from meanface.sources.formats import (
    BITS_PER_SAMPLE,
    COMPRESSION,
    HEIC,
    JPEG_XL,
    NEXT_IFD,
    PHOTOMETRIC,
    PLANAR,
    SAMPLE_FORMAT,
    image_kind,
    other_kind,
    readable_formats,
    tiff_tags,
)


class PhotoError(Exception):
    """A photo without an embedding: `reason` (one of the closed set) and `detail` for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def unidentified(data: bytes) -> PhotoError:
    """Give the error for data that no decoder takes for a photo."""
    if not data:
        return PhotoError("not_an_image", "an empty file")
    kind = image_kind(data)
    if kind == "JPEG" and (unusual := unusual_kind(data)):
        return PhotoError("unsupported", unusual)
    if data.startswith(b"MM\0+"):
        return PhotoError("unsupported", "BigTIFF in big-endian order")
    if kind == "TIFF" and NEXT_IFD in (tags := tiff_tags(data)):
        return PhotoError("unsupported", _tiff_kind(tags))
    if kind == JPEG_XL and not jpeg_xl.IS_READ:
        return PhotoError("unsupported", "JPEG XL: its library has no wheel for this platform")
    if kind in ("JPEG", "PNG", "GIF", "WebP", "TIFF", "BMP", "JPEG 2000", HEIC, JPEG_XL) or (
        kind == "AVIF" and "AVIF" in readable_formats()
    ):
        return PhotoError("truncated", f"{kind}, but cut short or damaged")
    if kind:
        return PhotoError("unsupported", kind)
    if data[4:8] == b"ftyp" and len(data) >= 12:  # ISO base media, such as a video
        return PhotoError("unsupported", f"format {data[8:12].decode('latin-1').strip()!r}")
    return PhotoError("not_an_image", other_kind(data) or f"starts with {data[:8]!r}")


def check_kind(image: Image.Image, data: bytes) -> None:
    """Raise PhotoError for kinds that Pillow opens and decodes wrongly, or cannot decode.

    Raise it for a PNG with damaged pixels as well, which Pillow may decode without an error.
    """
    if image.format == "PNG" and not has_sound_pixels(data):
        raise PhotoError("truncated", "PNG, but the checksum of its pixels is wrong")
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
