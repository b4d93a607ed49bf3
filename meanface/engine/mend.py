"""Photos that viewers show although something about them is broken, none of their pixels."""

import struct
import zlib
from collections.abc import Iterator

_PNG, _MOST_TEXT = b"\x89PNG\r\n\x1a\n", 1 << 20
# Chunks of a PNG that are no part of its pixels, but may tell its orientation.
_KEPT = {b"eXIf", b"tEXt", b"zTXt", b"iTXt"}
_RESTARTS = b"".join(bytes((0xFF, marker)) + b"\x55" * 64 for marker in range(0xD0, 0xD8))
# What a decoder makes of the bits that a photo lacks depends on what follows.
_ENDINGS = {
    "JPEG": [ending + b"\xff\xd9" for ending in (b"", b"\x55" * 64, b"\xaa" * 64, _RESTARTS)],
    "JPEG 2000": [b"\xff\xd9"],  # each tile tells its length, so a missing byte is noticed
    "BMP": [b"\0" * 64, b"\xff" * 64],
    "TIFF": [b"\0" * 64, b"\xff" * 64],
}


def with_other_endings(data: bytes, kind: str) -> list[bytes]:
    """Give the photo with different bytes after its end; empty for kinds that have no such.

    It lacks no pixel where all of these have the same pixels.
    """
    if kind in ("JPEG", "JPEG 2000"):
        data = data.rstrip(b"\xff")  # half a marker, or padding
    return [data + ending for ending in _ENDINGS.get(kind, ())]


def without_broken_parts(data: bytes, kind: str) -> bytes | None:
    """Give the photo without what is no pixel and may be broken; None for kinds that have none."""
    if kind == "PNG":
        return _PNG + b"".join(_png_chunks(data))
    if kind == "WebP":
        chunks = b"".join(_webp_chunks(data))
        return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
    return None


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """Yield the chunks of the pixels, those that tell the orientation if sound, and an end.

    If a chunk is cut short, there is no end.
    """
    at = len(_PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + length]
        at += 12 + length
        if at > len(data):
            return  # pixels may be missing
        # A capital letter first: no decoder may pass over it. tRNS: the transparency.
        if kind[:1].isupper() or kind == b"tRNS" or (kind in _KEPT and _is_sound(chunk)):
            yield chunk
    yield struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def _is_sound(chunk: bytes) -> bool:
    """Tell whether a chunk has its checksum, and is not large; if compressed, also unpacked."""
    content, checksum = chunk[8:-4], chunk[-4:]
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(checksum, "big") or len(content) > _MOST_TEXT:
        return False
    if chunk[4:8] not in (b"zTXt", b"iTXt"):
        return True
    _, _, text = content.partition(b"\0")  # behind the keyword
    packed = text[1:]
    if chunk[4:8] == b"iTXt":
        if text[:1] == b"\0":
            return True  # not compressed
        packed = text[2:].split(b"\0", 2)[-1]  # behind the language and the translated keyword
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(packed, _MOST_TEXT)
    except zlib.error:
        return True  # Pillow passes over it
    return not unpacking.unconsumed_tail


def _webp_chunks(data: bytes) -> Iterator[bytes]:
    """Yield the chunks that are there as a whole, whatever size the file announces."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        chunk = data[at : at + 8 + length]
        if len(chunk) == 8 + length:
            yield chunk + bytes(length % 2)
        at += 8 + length + length % 2
