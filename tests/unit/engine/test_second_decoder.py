"""Every format and bit depth is decoded as another library decodes it, or is told to be unread.

The other libraries are imagecodecs, tifffile and, for HEIC, FFmpeg in PyAV.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.decode import PhotoError, decode
from tests.made_photos import heic, jpeg_xl

av = pytest.importorskip("av", reason="pip install av")
imagecodecs = pytest.importorskip("imagecodecs", reason="pip install imagecodecs")
tifffile = pytest.importorskip("tifffile", reason="pip install tifffile")

Pixels = NDArray[Any]
HEIGHT, WIDTH = 48, 63  # an odd width: rows that end within a byte, or are padded
TOLERANCE = 2


def ramps(bits: int, channels: int = 3) -> Pixels:
    """Gradients from black to white with hard edges: (height, width) or (.., channels)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / np.array([HEIGHT - 1, WIDTH - 1]).reshape(2, 1, 1)
    top = (1 << bits) - 1
    together = np.stack([x, y, (x + y) / 2, 1 - x / 2][:channels], -1)
    pixels = np.round(together * top).astype(np.uint8 if bits <= 8 else np.uint16)
    pixels[:8, :8, :3], pixels[8:16, :8, :3] = top, 0
    return pixels if channels > 1 else pixels[..., 0]


def shown(pixels: Pixels, bits: int, *, alpha: bool = False) -> Pixels:
    """Pixels as RGB from 0 to 255, laid over white."""
    scaled = pixels.astype(float) * 255 / ((1 << bits) - 1)
    if scaled.ndim == 2:
        scaled = scaled[..., None]
    if alpha:
        opaque = scaled[..., -1:] / 255
        scaled = scaled[..., :-1] * opaque + 255 * (1 - opaque)
    return np.repeat(scaled, 3, 2) if scaled.shape[2] == 1 else scaled


def of_cmyk(ink: Pixels) -> Pixels:
    """RGB of ink from 0 to 255: less light is left with each."""
    light = 255 - ink.astype(float)
    return np.asarray(light[..., :3] * light[..., 3:] / 255)


def tiff(pixels: Pixels, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def packed_rows(pixels: Pixels, bits: int) -> Iterator[bytes]:
    for row in pixels.reshape(len(pixels), -1):
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        yield int(text, 2).to_bytes(len(text) // 8, "big")


def packed_tiff(pixels: Pixels, bits: int, **tags: int) -> bytes:
    """A TIFF of one strip, little-endian, with any number of bits per channel."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = pixels.astype("<u2").tobytes() if bits == 16 else b"".join(packed_rows(pixels, bits))
    values = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: 1, 273: 0, 277: channels}
    values |= {278: HEIGHT, 279: len(data)} | {int(tag[1:]): value for tag, value in tags.items()}
    values[273] = 8 + 2 + 12 * len(values) + 4 + 2 * channels
    ends = values[273] - 2 * channels  # of the directory, where the bits of each channel are told
    entries = b""
    for tag, value in sorted(values.items()):
        if tag == 258 and channels > 2:
            entries += struct.pack("<HHII", tag, 3, channels, ends)
        else:
            entries += struct.pack("<HHII", tag, 4, 1, value)
    start = b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4)
    return start + struct.pack(f"<{channels}H", *[bits] * channels) + data


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


Case = tuple[bytes, Pixels]

TIFFS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deflate": {"compression": "deflate"},
    "lzw": {"compression": "lzw"},
    "packbits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
    "predictor": {"compression": "deflate", "predictor": True},
    "tiles": {"tile": (16, 16)},
    "strips": {"rowsperstrip": 5},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
}


def tiffs() -> Iterator[tuple[str, Case]]:
    def case(data: bytes, bits: int, *, negative: bool = False, alpha: bool = False) -> Case:
        pixels = shown(tifffile.imread(io.BytesIO(data)), bits, alpha=alpha)
        return data, 255 - pixels if negative else pixels

    for negative, photometric in ((False, "minisblack"), (True, "miniswhite")):
        for bits in (8, 16):
            for name, options in TIFFS.items():
                data = tiff(ramps(bits, 1), photometric=photometric, **options)
                if (bits, name, negative) != (16, "big-endian", True):  # see UNREAD
                    yield f"tiff {photometric} {bits} {name}", case(data, bits, negative=negative)
        for bits in (1, 2, 4, 12, 16):
            if (bits, negative) != (12, True):  # see UNREAD
                data = packed_tiff(ramps(bits, 1), bits, t262=0 if negative else 1)
                expected = shown(ramps(bits, 1), bits)
                yield (
                    f"tiff {photometric} {bits} packed",
                    (data, 255 - expected if negative else expected),
                )
    for bits in (8, 16):
        planes = np.moveaxis(ramps(bits), -1, 0)
        for name in ("plain", "big-endian", "deflate", "predictor", "tiles"):
            options = TIFFS[name]
            data = tiff(ramps(bits), photometric="rgb", **options)
            yield f"tiff rgb {bits} {name}", case(data, bits)
        data = tiff(planes, photometric="rgb", planarconfig="separate", compression="deflate")
        yield f"tiff planes {bits} deflate", (data, shown(ramps(bits), bits))
        data = tiff(ramps(bits, 4), photometric="rgb", extrasamples=["unassalpha"])
        yield f"tiff alpha {bits}", case(data, bits, alpha=True)
        data = tiff(ramps(bits, 4), photometric="separated")
        ink = tifffile.imread(io.BytesIO(data)) / ((1 << bits) - 1) * 255
        yield f"tiff cmyk {bits}", (data, of_cmyk(ink))
    data = tiff(ramps(8, 2), photometric="minisblack", extrasamples=["assocalpha"])
    premultiplied, alpha = (ramps(8, 2)[..., [channel] * 3].astype(float) for channel in (0, 1))
    yield "tiff grey alpha 8", (data, np.minimum(premultiplied, alpha) + 255 - alpha)
    data = tiff(np.moveaxis(ramps(8), -1, 0), photometric="rgb", planarconfig="separate")
    yield "tiff planes 8", (data, shown(ramps(8), 8))
    colours = np.linspace([0, 65535, 0], [65535, 0, 65535], 256).T.astype(np.uint16)
    data = tiff(ramps(8, 1), photometric="palette", colormap=colours)
    yield "tiff palette", (data, colours.T[ramps(8, 1)] / 257)
    for photometric in ("ycbcr", "rgb", "minisblack"):
        channels = 1 if photometric == "minisblack" else 3
        data = tiff(ramps(8, channels), photometric=photometric, compression="jpeg")
        yield f"tiff jpeg {photometric}", case(data, 8)


def pngs() -> Iterator[tuple[str, Case]]:
    for bits in (8, 16):
        for channels in (1, 2, 3, 4):
            data = imagecodecs.png_encode(ramps(bits, channels))
            pixels = imagecodecs.png_decode(data)
            yield f"png {bits} x{channels}", (data, shown(pixels, bits, alpha=channels in (2, 4)))
    for bits in (1, 2, 4):
        image = Image.fromarray(ramps(8, 3)).quantize(1 << bits)
        data = saved(image, "PNG", bits=bits)
        yield f"png palette {bits}", (data, shown(imagecodecs.png_decode(data), 8))
    for bits, channels in ((2, 1), (4, 1), (8, 1), (16, 1), (8, 3), (16, 3)):
        pixels = ramps(bits, channels)
        for name, place in (("white", (4, 4)), ("black", (12, 4)), ("grey", (20, 20))):
            colour = pixels[place]
            expected = shown(pixels, bits)
            expected[(pixels == colour).reshape(HEIGHT, WIDTH, channels).all(2)] = 255
            data = packed_png(pixels, bits, struct.pack(f">{channels}H", *np.atleast_1d(colour)))
            yield f"png {bits} x{channels} transparent {name}", (data, expected)


def packed_png(pixels: Pixels, bits: int, transparent: bytes) -> bytes:
    """A PNG of grey or RGB with any number of bits per channel, and a transparent colour."""
    kind = 0 if pixels.ndim == 2 else 2
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, kind, 0, 0, 0),
        b"tRNS": transparent,
        b"IDAT": zlib.compress(b"".join(b"\0" + row for row in packed_rows(pixels, bits))),
        b"IEND": b"",
    }
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks.items():
        data += struct.pack(">I", len(content)) + name + content
        data += struct.pack(">I", zlib.crc32(name + content))
    return data


def jpegs() -> Iterator[tuple[str, Case]]:
    colour, grey = Image.fromarray(ramps(8)), Image.fromarray(ramps(8, 1))
    for name, data in {
        "grey": saved(grey, "JPEG"),
        "4:4:4": saved(colour, "JPEG", subsampling=0),
        "4:2:2": saved(colour, "JPEG", subsampling=1),
        "4:2:0": saved(colour, "JPEG", subsampling=2),
        "progressive": saved(colour, "JPEG", progressive=True),
        "restarts": saved(colour, "JPEG", restart_marker_rows=1),
        "lossless": imagecodecs.jpeg8_encode(ramps(8), lossless=True, predictor=4),
    }.items():
        yield f"jpeg {name}", (data, shown(imagecodecs.jpeg8_decode(data), 8))
    data = saved(Image.fromarray(ramps(8, 4), "CMYK"), "JPEG", quality=95)
    yield "jpeg cmyk", (data, of_cmyk(255 - imagecodecs.jpeg8_decode(data)))  # Adobe's is negative
    for bits, channels in (*((8, count) for count in (1, 2, 3, 4)), (10, 1), (12, 1), (16, 1)):
        for kind in ("j2k", "jp2"):
            data = jpeg2000(bits, channels, kind)
            pixels = imagecodecs.jpeg2k_decode(data)
            alpha = channels in (2, 4)
            yield f"jpeg2000 {kind} {bits} x{channels}", (data, shown(pixels, bits, alpha=alpha))


def jpeg2000(bits: int, channels: int, kind: str = "jp2") -> bytes:
    data: bytes = imagecodecs.jpeg2k_encode(
        ramps(bits, channels), level=0, codecformat=kind, bitspersample=bits, reversible=True
    )
    return data


def heics() -> Iterator[tuple[str, Case]]:
    for bits in (8, 10, 12):
        # Decoders smooth halved chroma each in its own way, so that case is grey.
        for chroma, channels in ((444, 3), (420, 1)):
            pixels = ramps(bits, channels).reshape(HEIGHT, WIDTH, channels)
            data = heic(np.repeat(pixels, 3 // channels, 2), bits, chroma=chroma)
            with av.open(io.BytesIO(data)) as container:
                frame = next(container.decode(video=0))
            assert frame.format.components[0].bits == bits
            coded = frame.to_ndarray(format="rgb24")  # in whole blocks
            yield f"heic {bits} {chroma}", (data, shown(coded[:HEIGHT, :WIDTH], 8))


def jpeg_xls() -> Iterator[tuple[str, Case]]:
    for bits in (8, 10, 12, 16):
        for channels in (1, 2, 3, 4):
            data = jpeg_xl(ramps(bits, channels), bits)
            pixels = imagecodecs.jpegxl_decode(data)
            alpha = channels in (2, 4)
            yield f"jpeg xl {bits} x{channels}", (data, shown(pixels, bits, alpha=alpha))
    floats = (ramps(16) / 65535).astype(np.float32)
    yield "jpeg xl floats", (jpeg_xl(floats, 32), floats * 255)
    data = imagecodecs.jpegxl_encode(ramps(8), distance=0.5)
    yield "jpeg xl lossy", (data, shown(imagecodecs.jpegxl_decode(data), 8))
    data = imagecodecs.jpegxl_encode_jpeg(saved(Image.fromarray(ramps(8)), "JPEG"))
    yield "jpeg xl of a jpeg", (data, shown(imagecodecs.jpegxl_decode(data), 8))


def bmp_with_alpha(pixels: Pixels) -> bytes:
    """A BMP with a header of version 5 and masks for the four channels."""
    masks = struct.pack("<4I", 0xFF << 16, 0xFF << 8, 0xFF, 0xFF << 24)
    size = 4 * WIDTH * HEIGHT
    header = struct.pack("<IiiHHIIiiII", 124, WIDTH, HEIGHT, 1, 32, 3, size, 0, 0, 0, 0) + masks
    start = b"BM" + struct.pack("<IHHI", 14 + 124 + size, 0, 0, 14 + 124)
    return start + header.ljust(124, b"\0") + pixels[::-1, :, [2, 1, 0, 3]].tobytes()


def others() -> Iterator[tuple[str, Case]]:
    for channels in (3, 4):
        for lossless in (True, False):
            data = imagecodecs.webp_encode(ramps(8, channels), lossless=lossless, level=90)
            pixels = imagecodecs.webp_decode(data)
            name = f"webp x{channels} {'lossless' if lossless else 'lossy'}"
            yield name, (data, shown(pixels, 8, alpha=pixels.shape[2] == 4))
    for bits in (8, 10, 12):
        for channels in (1, 3, 4):
            data = imagecodecs.avif_encode(ramps(bits, channels), level=100, bitspersample=bits)
            pixels = imagecodecs.avif_decode(data)
            if pixels.ndim == 3 and channels == 1:
                pixels = pixels[..., :3]
            yield f"avif {bits} x{channels}", (data, shown(pixels, bits, alpha=channels == 4))
    colour = Image.fromarray(ramps(8))
    for name, image in {
        "24": colour,
        "8": colour.quantize(256),
        "grey": colour.convert("L"),
    }.items():
        data = saved(image, "BMP")
        yield f"bmp {name}", (data, shown(imagecodecs.bmp_decode(data), 8))
    pixels = ramps(8, 4)
    yield "bmp alpha", (bmp_with_alpha(pixels), shown(pixels, 8, alpha=True))
    pixels[..., 3] = 0
    yield "bmp zero alpha", (bmp_with_alpha(pixels), shown(ramps(8), 8))
    data = saved(colour.quantize(64), "GIF")
    yield "gif", (data, shown(imagecodecs.gif_decode(data)[..., :3], 8))
    for most in (1, 15, 100, 255, 1000, 4095, 65535):
        for channels, magic in ((1, b"P5"), (3, b"P6")):
            pixels = np.round(ramps(16, channels) / 65535 * most).astype(np.uint16)
            raw = pixels.astype(">u2" if most > 255 else np.uint8).tobytes()
            data = magic + b"\n%d %d\n%d\n" % (WIDTH, HEIGHT, most) + raw
            yield f"pnm {channels} {most}", (data, shown(pixels / most * 255, 8))


CASES = dict([*tiffs(), *pngs(), *jpegs(), *heics(), *jpeg_xls(), *others()])


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_those_of_another_decoder(name: str) -> None:
    data, expected = CASES[name]
    pixels = decode(data, "full", 10**6).astype(float)
    assert pixels.shape == expected.shape == (HEIGHT, WIDTH, 3)
    assert 20 < expected.mean() < 235, "it shows something"
    assert np.abs(pixels - expected).max() <= TOLERANCE + 0.5  # rounding


UNREAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "negative of 12 bits": (lambda: packed_tiff(ramps(12, 1), 12, t262=0), "bits 12"),
    "negative of 16 bits, big-endian": (
        lambda: tiff(ramps(16, 1), photometric="miniswhite", byteorder=">"),
        "bits 16",
    ),
    "colours of 12 bits": (lambda: packed_tiff(ramps(12), 12, t262=2), "bits 12"),
    "planes of 16 bits": (
        lambda: tiff(np.moveaxis(ramps(16), -1, 0), photometric="rgb", planarconfig="separate"),
        "planes 2",
    ),
    "signed": (lambda: tiff(ramps(8, 1).astype(np.int8), photometric="minisblack"), "format 2"),
    "32 bits": (lambda: tiff(ramps(16, 1).astype(np.uint32), photometric="minisblack"), "16 bits"),
    "halves": (lambda: tiff(ramps(8, 1).astype(np.float16), photometric="minisblack"), "format 3"),
    "floats": (lambda: tiff(ramps(8, 1).astype(np.float32), photometric="minisblack"), "floating"),
    "jpeg2000 in tiff": (
        lambda: tiff(ramps(8), photometric="rgb", compression="jpeg2000"),
        "JPEG 2000 in TIFF",
    ),
    "webp in tiff": (
        lambda: tiff(ramps(8), photometric="rgb", compression="webp"),
        "compression 50001",
    ),
    "subsampled, not compressed": (
        lambda: packed_tiff(ramps(8), 8, t262=6, t530=2 | 2 << 16),
        "photometric 6",
    ),
    **{
        f"jpeg2000 of {bits} bits x{channels}": (
            lambda bits=bits, channels=channels: jpeg2000(bits, channels),  # type: ignore[misc]
            f"JPEG 2000 of {bits} bits",
        )
        for bits, channels in ((4, 1), (4, 3), (10, 3), (12, 2), (12, 3), (16, 3), (16, 4))
    },
    "bigtiff, big-endian": (
        lambda: tiff(ramps(8), photometric="rgb", bigtiff=True, byteorder=">"),
        "BigTIFF in big-endian order",
    ),
    "bigtiff of ink with alpha": (
        lambda: tiff(ramps(16, 4)[..., [0, 1, 2, 3, 3]], photometric="separated", bigtiff=True),
        "photometric 5",
    ),
    "bmp with masks of 10 bits": (
        lambda: bmp_with_alpha(ramps(8, 4)).replace(
            struct.pack("<3I", 0xFF << 16, 0xFF << 8, 0xFF),
            struct.pack("<3I", 0x3FF << 20, 0x3FF << 10, 0x3FF),
        ),
        "bitfields layout",
    ),
    "jpeg of 2 channels": (lambda: imagecodecs.jpeg8_encode(ramps(8, 2)), "JPEG of 2 channels"),
    "jpeg of 12 bits": (
        lambda: imagecodecs.jpeg_encode(ramps(12), bitspersample=12),
        "JPEG of 12 bits",
    ),
    "lossless jpeg of 16 bits": (lambda: imagecodecs.ljpeg_encode(ramps(16, 1)), "lossless JPEG"),
    "jpeg-ls": (lambda: imagecodecs.jpegls_encode(ramps(8)), "JPEG-LS"),
    "jpeg xr": (lambda: imagecodecs.jpegxr_encode(ramps(8)), "JPEG XR"),
    "qoi": (lambda: imagecodecs.qoi_encode(ramps(8)), "QOI"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_named(name: str) -> None:
    make, kind = UNREAD[name]
    with pytest.raises(PhotoError) as caught:
        decode(make(), "full", 10**6)
    assert caught.value.reason == "unsupported"
    assert kind in caught.value.detail
    assert "\n" not in caught.value.detail
