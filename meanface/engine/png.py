"""The chunks of a PNG: whether its pixels are sound, and which colour is transparent.

Portable Network Graphics, third edition, 5.3 (chunks) and 11.3.1.1 (tRNS).
"""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_SIGNATURE, _DEPTH = 8, 24  # the size of the signature, the place of the bits per channel
_PIECE = 1 << 20  # bytes unpacked at a time


def has_sound_pixels(data: bytes) -> bool:
    """Tell whether the pixels match a checksum. Pillow may decode damaged pixels without an error.

    The checksum of every IDAT chunk must be right, or else the checksum of the zlib stream.
    """
    view = memoryview(data)
    pixels = [place for kind, *place in _chunks(data) if kind == b"IDAT"]
    if all(
        zlib.crc32(view[begin - 4 : end]) == int.from_bytes(view[end : end + 4], "big")
        for begin, end in pixels
    ):
        return True
    stream = zlib.decompressobj()
    try:
        for begin, end in pixels:
            if stream.eof:
                break
            part: bytes | memoryview = view[begin:end]
            while len(stream.decompress(part, _PIECE)) == _PIECE or stream.unconsumed_tail:
                part = stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof


def scale_transparent_colour(image: Image.Image, data: bytes) -> None:
    """Scale the transparent colour of an opened PNG in the way Pillow scales its pixels.

    Pillow widens grey of 2 and 4 bits to 8 bits, and keeps the upper 8 of 16 bits of RGB.
    """
    if data[12:16] != b"IHDR":  # an Apple PNG, which Pillow reads otherwise
        return
    colour, bits = image.info.get("transparency"), data[_DEPTH]
    if image.mode == "L" and isinstance(colour, int):
        image.info["transparency"] = colour * 255 // ((1 << bits) - 1)
    elif image.mode == "RGB" and bits == 16 and colour:
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of the content of each whole chunk, up to the end mark."""
    at = _SIGNATURE
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        begin, end = at + 8, at + 8 + length
        if kind == b"IEND" or end + 4 > len(data):
            return
        yield kind, begin, end
        at = end + 4
