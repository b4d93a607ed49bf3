"""Photos of formats that Pillow does not write: HEIC, JPEG XL, RAW files, and colour profiles.

The encoders of HEIC and JPEG XL come from packages for tests alone.
"""

import io
import struct
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pylibjxl
from numpy.typing import NDArray
from PIL import Image

# --- HEIC and JPEG XL ---------------------------------------------------------------------------


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Give the bytes of an image that Pillow saves."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def heic(pixels: NDArray[Any], bits: int = 8, **options: object) -> bytes:
    """Give a HEIC; `pixels` (height, width, 3 or 4) of so many bits, without chroma subsampling."""
    mode = ("RGB" if pixels.shape[2] == 3 else "RGBA") + (";16" if bits > 8 else "")
    scaled = pixels if bits == 8 else (pixels << (16 - bits)).astype("<u2")
    size = pixels.shape[1], pixels.shape[0]
    made = pillow_heif.from_bytes(mode=mode, size=size, data=scaled.tobytes())
    stream = io.BytesIO()
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    made.save(stream, **{"quality": 100, "chroma": 444} | options)
    return stream.getvalue()


def jpeg_xl(pixels: NDArray[Any], bits: int = 8, **options: object) -> bytes:
    """Give a lossless JPEG XL; `pixels` (height, width) or (height, width, 2 to 4)."""
    wanted: dict[str, Any] = {"lossless": True, "bitspersample": bits} | options
    return bytes(imagecodecs.jpegxl_encode(pixels, **wanted))


def jpeg_xl_with_profile(pixels: NDArray[np.uint8], icc: bytes) -> bytes:
    """Give a lossless JPEG XL with a colour profile."""
    return pylibjxl.encode(pixels, lossless=True, icc=icc)


# --- colour profiles ----------------------------------------------------------------------------

# Chromaticities of red, green and blue, and the exponent of the brightness.
SPACES: dict[str, tuple[list[tuple[float, float]], float | str]] = {
    "Display P3": ([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], "srgb"),
    "Adobe RGB": ([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], 563 / 256),
}
D65 = (0.3127, 0.3290)


@cache
def profile(name: str) -> bytes:
    """Give the ICC profile of a colour space of SPACES, or "grey" with a gamma of 1.8."""
    if name == "grey":
        data: bytes = imagecodecs.cms_profile("gray", whitepoint=[*D65, 1], gamma=1.8)
        return data
    primaries, gamma = SPACES[name]
    curve = {"transferfunction": srgb_curve()} if gamma == "srgb" else {"gamma": gamma}
    return imagecodecs.cms_profile(
        "rgb",
        whitepoint=[*D65, 1],
        primaries=[value for primary in primaries for value in (*primary, 1)],
        **curve,
    )


def srgb_curve() -> NDArray[np.uint16]:
    """Give the brightness of 4096 values of sRGB, IEC 61966-2-1, as uint16."""
    value = np.linspace(0, 1, 4096)
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.round(light * 65535).astype(np.uint16)


def cmyk_profile() -> bytes:
    """Give an ICC profile, version 2.4, of ink whose colours are those of Pillow's conversion.

    But for black: ink of 100 % is a grey of lightness 20, as on paper.
    """
    corners = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    lab = []
    for *ink, black in corners:
        light = (1 - np.array(ink)) * (1 - black)
        lightness = 20 + 80 * light.mean()
        red, green, blue = light
        lab.append((lightness * 2.55, 128 + 60 * (red - green), 128 + 60 * (green - blue)))
    table = np.round(np.clip(lab, 0, 255)).astype(np.uint8).tobytes()
    identity = np.round(np.eye(3) * 65536).astype(">i4").tobytes()
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + table + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(x * 65536) for x in D50))
    text = b"text" + bytes(4) + b"ink\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", 4) + b"ink\0" + bytes(78)
    return icc(
        b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut, b"wtpt": white, b"cprt": text, b"desc": desc}
    )


D50 = (0.9642, 1.0, 0.8249)


def icc(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Give an ICC profile of these tags."""
    start = 128 + 4 + 12 * len(tags)
    directory, content = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        directory += name + struct.pack(">II", start + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4sQI3i4s",
        *(start + len(content), b"lcms", 0x02400000, kind, space, connection, bytes(12)),
        *(b"acsp", bytes(4), 0, bytes(4), bytes(4), 0, 0),
        *(round(x * 65536) for x in D50),
        b"lcms",
    )
    return header.ljust(128, b"\0") + directory + content


# --- RAW ----------------------------------------------------------------------------------------

_MAGIC = {
    **dict.fromkeys(("DNG", "Nikon RAW", "Sony RAW", "Pentax RAW", "Canon CR2"), b"II*\0"),
    **{"Olympus ORF": b"IIRO", "Panasonic RW2": b"IIU\0"},
}
_MAKERS = {"Nikon RAW": b"NIKON CORPORATION\0", "Sony RAW": b"SONY \0", "Pentax RAW": b"PENTAX \0"}
RAWS = (*_MAGIC, "Fujifilm RAF", "Canon CR3", "Sigma X3F")
"""Names as meanface.sources.formats.raw_kind gives them."""


def raw(kind: str, *jpegs: bytes, orientation: int = 1, tile: tuple[int, int] = (0, 0)) -> bytes:
    """Give a RAW file of a kind of RAWS that holds these JPEGs beside the pixels of a sensor.

    `tile` gives the sides of the tiles that a DNG tells for the sensor's pixels.
    """
    sensor = np.random.default_rng(1).integers(0, 256, 5000).astype(np.uint8).tobytes()
    if kind == "Fujifilm RAF":  # orientation: in the JPEG alone
        return b"FUJIFILMCCD-RAW 0201FF383501".ljust(148, b"\0") + b"".join(jpegs) + sensor
    if kind == "Canon CR3":
        camera = box(b"CMT1", tiff(b"II*\0", {274: orientation}))
        movie = box(b"moov", box(b"uuid", bytes(16) + camera))
        file = box(b"ftyp", b"crx \0\0\0\1crx isom")
        return file + movie + box(b"mdat", b"".join(jpegs) + sensor)
    if kind == "Sigma X3F":
        return b"FOVb" + bytes(60) + sensor + b"".join(jpegs)
    tags: dict[int, int | bytes] = {254: 1, 256: 160, 257: 120, 274: orientation}
    if kind in _MAKERS:
        tags[271] = _MAKERS[kind]
    if kind == "DNG":
        tags[50706] = b"\1\4\0\0"
    pixels: dict[int, int | bytes] = {254: 0, 262: 32803, 273: sensor, 322: tile[0], 323: tile[1]}
    previews: list[dict[int, int | bytes]] = [{254: 1, 259: 7, 273: jpeg} for jpeg in jpegs]
    data = tiff(_MAGIC[kind], tags, pixels, *previews)
    if kind == "Canon CR2":  # whose header is larger
        data = tiff(b"II*\0", tags, pixels, *previews, header=b"CR\2\0" + bytes(4))
    return data


def box(kind: bytes, content: bytes) -> bytes:
    """Give a box of ISO base media."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def tiff(magic: bytes, *directories: dict[int, int | bytes], header: bytes = b"") -> bytes:
    """Give a little-endian TIFF: its first directory, and the others as the first one's SubIFDs.

    Values are numbers of 32 bits, or text. Those of tag 273 are the pixels of a strip.
    """
    first, *others = directories
    data = bytearray(magic + bytes(4) + header)
    places = [_put_directory(data, one, {}) for one in others]
    sub_ifds = {}
    if others:
        listed = struct.pack(f"<{len(places)}I", *places)
        sub_ifds = {330: (4, len(places), listed)}
    start = _put_directory(data, first, sub_ifds)
    data[4:8] = struct.pack("<I", start)
    return bytes(data)


def _put_directory(
    data: bytearray, tags: dict[int, int | bytes], more: dict[int, tuple[int, int, bytes]]
) -> int:
    """Append the values and then the directory of these tags; give its place."""
    entries = dict(more)
    for tag, value in tags.items():
        if isinstance(value, int):
            entries[tag] = 4, 1, struct.pack("<I", value)
        elif tag == 273:
            entries[273] = 4, 1, struct.pack("<I", len(data))
            entries[279] = 4, 1, struct.pack("<I", len(value))
            data += value
        else:
            entries[tag] = (1 if len(value) == 4 else 2), len(value), value
    listed = b""
    for tag, (kind, count, value) in sorted(entries.items()):
        if len(value) > 4:
            data += value
            value = struct.pack("<I", len(data) - len(value))
        listed += struct.pack("<HHI4s", tag, kind, count, value)
    start = len(data)
    data += struct.pack("<H", len(entries)) + listed + bytes(4)
    return start
