"""The segments of a JPEG: which kind it is, and whether all of its scans are there.

ISO/IEC 10918-1, annex B; JPEG-LS: ISO/IEC 14495-1, annex C.
"""

import re
import struct
from collections.abc import Iterator

FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of frame, but for tables (DHT, JPG, DAC)
_JPEG_LS, SCAN, _EOI = 0xF7, 0xDA, 0xD9
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # TEM, restarts, SOI: no length follows
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither stuffing nor a restart
_MOST_SEGMENTS = 1000  # before the frame: a colour profile or XMP takes up to 256
_KINDS = {
    **dict.fromkeys((0xC3, 0xCB), "lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA), "JPEG with arithmetic coding"),
    _JPEG_LS: "JPEG-LS",
}


def unusual_kind(data: bytes) -> str:
    """Name what is unusual about a JPEG, as its start of frame tells; "" where nothing is."""
    for marker, content in _segments(data):
        if marker in FRAMES or marker == _JPEG_LS:
            precision, height = struct.unpack_from(">BH", content.ljust(3, b"\xff"))
            if marker in _KINDS:
                return _KINDS[marker]
            if precision != 8:
                return f"JPEG of {precision} bits per channel"
            if content[5:6] == b"\2":
                return "JPEG of 2 channels"
            return "" if height else "JPEG that tells its height after its pixels (DNL)"
    return ""


def frame_size(data: bytes, start: int) -> tuple[int, int] | None:
    """Give the width and height of the JPEG at `start`, if viewers show it: 8 bits, DCT, Huffman.

    None as well for bytes that are no JPEG, which they need not be.
    """
    for marker, content, _ in header(data, start):
        if marker in FRAMES or marker == _JPEG_LS:
            if content + 6 > len(data):
                return None
            precision, height, width = struct.unpack_from(">BHH", data, content)
            return (width, height) if marker <= 0xC2 and precision == 8 and height else None
    return None


def header(data: bytes, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the content of each segment up to the first scan, included.

    Ends early where the bytes at `start` are no JPEG. A segment may end behind the data.
    """
    at = start + 2
    for _ in range(_MOST_SEGMENTS):
        if data[at : at + 1] != b"\xff" or at + 4 > len(data):
            return
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _STANDALONE or marker == _EOI:
            return
        yield marker, at + 4, end
        if marker == SCAN:
            return
        at = end


def has_all_scans(data: bytes) -> bool:
    """Tell whether every coefficient of every component is in some scan, to its last bit."""
    wanted: set[int] = set()
    found: dict[int, set[int]] = {}
    for marker, content in _segments(data):
        if marker in FRAMES and len(content) >= 6:
            wanted = set(content[6 : 6 + 3 * content[5] : 3])
        elif marker == SCAN and content:
            components = content[1 : 1 + 2 * content[0] : 2]
            first, last, bits = (content[1 + 2 * content[0] :] + bytes(3))[:3]
            if bits & 15 == 0:
                for component in components:
                    found.setdefault(component, set()).update(range(first, min(last, 63) + 1))
    return bool(wanted) and all(len(found.get(component, ())) == 64 for component in wanted)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each marker with the content of its segment, to the end of the image or the data."""
    at = 2
    while match := _MARKER.search(data, at):
        marker, at = data[match.end() - 1], match.end()
        if marker == _EOI:
            return
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        yield marker, data[at + 2 : at + length]
        at += max(length, 2)
