"""Photos made to do harm, or by accident: each is read right or fails for a reason that is true.

More of what decode does is in test_decode.py; photos that kill the process are in test_isolate.py.
"""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pylibjxl
import pytest
from PIL import Image, ImageFile

from meanface.engine.decode import PhotoError, decode
from meanface.sources.formats import readable_formats
from tests.made_photos import RAWS, box, cmyk_profile, heic, jpeg_xl, profile, raw
from tests.runs import ROOT, snakemake
from tests.unit.engine.exif_turns import TURNS

# Pillow tells in the log what it finds odd.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

REASONS = {"not_an_image", "truncated", "too_large", "unsupported"}
MAX_PIXELS = 50_000_000
SIDE = 100_000


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@cache
def tiles() -> Image.Image:
    """Blocks of colour that every format shows: 6 x 4 blocks of 8 x 8 pixels, each different."""
    colours = np.random.default_rng(1).integers(0, 256, (4, 6, 3))
    return Image.fromarray(colours.repeat(8, 0).repeat(8, 1).astype(np.uint8))


def put(data: bytes, at: int, values: bytes) -> bytes:
    return data[:at] + values + data[at + len(values) :]


# --- bombs --------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def png_bomb() -> bytes:
    return png(SIDE, SIDE, chunk(b"IDAT", zlib.compress(bytes(10**7))))


def gif_bomb() -> bytes:
    """The largest of its kind: two bytes hold a side."""
    return put(saved(tiles(), "GIF"), 6, struct.pack("<HH", 65535, 65535))


def gif_frame_bomb() -> bytes:
    """A small screen and a huge frame."""
    data = saved(tiles(), "GIF")
    at = data.index(b"\x2c" + struct.pack("<4H", 0, 0, *tiles().size))
    return put(data, at + 5, struct.pack("<HH", 65535, 65535))


def webp_bomb(side: int) -> bytes:
    """An animation on a huge canvas."""
    data = saved(tiles(), "WEBP", save_all=True, append_images=[Image.new("RGB", tiles().size)])
    return put(data, data.index(b"VP8X") + 12, (side - 1).to_bytes(3, "little") * 2)


def webp_lossless_bomb() -> bytes:
    data = saved(tiles(), "WEBP", lossless=True)
    return put(data, data.index(b"VP8L") + 9, (16383 << 14 | 16383).to_bytes(4, "little"))


def tiff(tags: dict[int, int], **options: object) -> bytes:
    """A TIFF with these tags changed, each to one number of 32 bits."""
    data = saved(tiles(), "TIFF", **options)
    start = struct.unpack_from("<I", data, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if (tag := struct.unpack_from("<H", data, at)[0]) in tags:
            data = put(data, at + 2, struct.pack("<HII", 4, 1, tags[tag]))
    return data


def jpeg_bomb() -> bytes:
    data = saved(tiles(), "JPEG")
    return put(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", 65535, 65535))


def jpeg2000_bomb() -> bytes:
    data = saved(tiles(), "JPEG2000")
    side = struct.pack(">II", SIDE, SIDE)
    data = put(data, data.index(b"ihdr") + 4, side)
    return put(data, data.index(b"\xff\x51") + 6, side)


def avif_bomb() -> bytes:
    data = saved(tiles(), "AVIF")
    return put(data, data.index(b"ispe") + 8, struct.pack(">II", SIDE, SIDE))


def webp_lossy_bomb() -> bytes:
    data = saved(tiles(), "WEBP")
    return put(data, data.index(b"VP8 ") + 14, struct.pack("<HH", 16383, 16383))


def heic_bomb() -> bytes:
    """The size stands in the box ispe."""
    data = heic(np.asarray(tiles()))
    return put(data, data.index(b"ispe") + 8, struct.pack(">II", SIDE, SIDE))


def jpeg_xl_bomb(side: int) -> bytes:
    """The header of a square photo, ISO/IEC 18181-1, C.3: fields of so many bits, lowest first."""
    size = [(0, 1), (3, 2), (side - 1, 30), (1, 3)]  # not small; 30 bits; as wide as high
    value = width = 0
    for field, bits in [*size, (1, 1), (1, 1)]:  # all else as it is by default
        value |= field << width
        width += bits
    return b"\xff\n" + value.to_bytes(-(-width // 8), "little") + bytes(200)


def raw_bomb() -> bytes:
    return raw("Canon CR2", jpeg_bomb())


WIDTH, HEIGHT = 256, 257  # tags of TIFF
# The library that reads AVIF refuses one of that size before Pillow knows it.
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "png": (png_bomb, "too_large"),
    "gif": (gif_bomb, "too_large"),
    "gif_frame": (gif_frame_bomb, "too_large"),
    "webp": (lambda: webp_bomb(SIDE), "too_large"),
    "webp_65535": (lambda: webp_bomb(65535), "too_large"),
    "webp_lossy": (webp_lossy_bomb, "too_large"),
    "webp_lossless": (webp_lossless_bomb, "too_large"),
    "tiff": (lambda: tiff({WIDTH: SIDE, HEIGHT: SIDE}), "too_large"),
    "tiff_deflate": (
        lambda: tiff({WIDTH: SIDE, HEIGHT: SIDE}, compression="tiff_adobe_deflate"),
        "too_large",
    ),
    "jpeg": (jpeg_bomb, "too_large"),
    "jpeg2000": (jpeg2000_bomb, "too_large"),
    "avif": (avif_bomb, "truncated"),
    "heic": (heic_bomb, "too_large"),
    "jpeg_xl": (lambda: jpeg_xl_bomb(SIDE), "too_large"),
    "jpeg_xl_largest": (lambda: jpeg_xl_bomb(1 << 30), "too_large"),
    "raw": (raw_bomb, "too_large"),
    "bmp": (lambda: put(saved(tiles(), "BMP"), 18, struct.pack("<ii", SIDE, SIDE)), "too_large"),
    "ppm": (lambda: b"P6 %d %d 255\n" % (SIDE, SIDE) + bytes(100), "too_large"),
    # A colour profile of 1 GB, of which Pillow reads no more than 1 MB.
    "png_profile": (
        lambda: png(8, 8, chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(10**9), 1))),
        "unsupported",
    ),
}


def test_bombs_are_refused_in_little_memory(tmp_path: Path) -> None:
    """In a process of its own, whose memory the system measures."""
    for name, (make, _) in BOMBS.items():
        (tmp_path / name).write_bytes(make())
    script = """
import json, resource, sys
from pathlib import Path
from meanface.engine.decode import PhotoError, decode

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

# So that a bomb that goes off does no harm to the machine.
resource.setrlimit(resource.RLIMIT_DATA, (1_000_000_000, 1_000_000_000))
found, before = {}, peak()
for path in Path(sys.argv[1]).iterdir():
    try:
        decode(path.read_bytes(), "full", int(sys.argv[2]))
    except PhotoError as error:
        found[path.name] = error.reason
print(json.dumps([found, peak() - before]))
"""
    command = [sys.executable, "-c", script, str(tmp_path), str(MAX_PIXELS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    found, megabytes = json.loads(done.stdout)
    assert found == {name: reason for name, (_, reason) in BOMBS.items()}
    assert megabytes < 100


# Pillow makes room for the pixels of these when it opens them.
@pytest.mark.parametrize("kind", [name for name in BOMBS if name.startswith("webp")])
def test_a_size_that_memory_cannot_hold_is_known_before(kind: str) -> None:
    script = """
import resource, sys
from meanface.engine.decode import PhotoError, decode
resource.setrlimit(resource.RLIMIT_DATA, (500_000_000, 500_000_000))
try:
    decode(sys.stdin.buffer.read(), "full", int(sys.argv[1]))
except PhotoError as error:
    print(error.reason)
"""
    command = [sys.executable, "-c", script, str(MAX_PIXELS)]
    data = BOMBS[kind][0]()
    done = subprocess.run(command, input=data, capture_output=True, cwd=ROOT, check=True)
    assert done.stdout == b"too_large\n"


def test_memory_that_runs_out_is_left_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child ends of it, and the photo fails as out_of_memory, see test_isolate.py."""

    def load(self: ImageFile.ImageFile) -> None:
        raise MemoryError

    data = saved(tiles(), "JPEG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(MemoryError):
        decode(data, "full", MAX_PIXELS)


def test_a_heic_of_more_pixels_than_allowed_is_too_large() -> None:
    data = heic(np.zeros((1000, 1001, 3), np.uint8), quality=1, chroma=420)
    with pytest.raises(PhotoError) as caught:
        decode(data, "full", 1000 * 1000)
    assert caught.value.reason == "too_large"


# --- damage -------------------------------------------------------------------------------------


def seeds() -> Iterator[tuple[str, bytes]]:
    exif = Image.Exif()
    exif[0x0112] = 1
    for kind in readable_formats():
        yield kind, saved(tiles(), kind)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        yield f"{kind}-exif", saved(tiles(), kind, exif=exif)
    yield "WEBP-lossless", saved(tiles(), "WEBP", lossless=True)
    yield "JPEG-progressive", saved(tiles(), "JPEG", progressive=True)
    pixels = np.asarray(tiles())
    yield "HEIC", heic(pixels, icc_profile=profile("Display P3"))
    yield "HEIC-deep", heic(pixels.astype(np.uint16) << 2, 10)
    yield "JPEG XL", jpeg_xl(pixels)
    yield "JPEG XL-boxes", jpeg_xl(pixels, usecontainer=True)
    large = saved(tiles().resize((660, 480)), "JPEG", quality=30)
    for kind in ("DNG", "Canon CR3", "Fujifilm RAF"):
        yield kind, raw(kind, large)
    yield "JPEG-profile", saved(tiles(), "JPEG", icc_profile=profile("Adobe RGB"))
    yield "JPEG-ink", saved(tiles().convert("CMYK"), "JPEG", icc_profile=cmyk_profile())
    for compression in ("tiff_adobe_deflate", "tiff_lzw", "packbits", "jpeg"):
        yield f"TIFF-{compression}", saved(tiles(), "TIFF", compression=compression)


SEEDS = dict(seeds())


def outcome(data: bytes, how: str = "full") -> str:
    """Give why a photo fails, or "" where it is read."""
    try:
        pixels = decode(data, how, MAX_PIXELS)
    except PhotoError as error:
        assert error.reason in REASONS
        assert error.detail
        assert "\n" not in error.detail
        return error.reason
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    return ""


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("how", ["full", "plain"])
def test_a_photo_cut_short_fails_wherever_it_ends(kind: str, how: str) -> None:
    data = SEEDS[kind]
    ends = range(0, len(data), 1 + len(data) // 60)
    reasons = [outcome(data[:end], how) for end in ends]
    assert reasons[0] == "not_an_image"
    # Less than half of it shows nothing; the end of some formats can be spared.
    if how == "full" and kind not in RAWS:  # which may be cut before the preview
        assert set(reasons[: len(ends) // 2]) <= {"not_an_image", "truncated"}


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("how", ["full", "plain"])
def test_damage_anywhere_is_read_or_refused(kind: str, how: str) -> None:
    chance = np.random.default_rng(zlib.crc32(f"{kind} {how}".encode()))
    read = 0
    for _ in range(60):
        data = bytearray(SEEDS[kind])
        for _ in range(chance.choice((1, 1, 3, 20))):
            # Half of the time near the beginning, where the headers are.
            end = len(data) if chance.random() < 0.5 else min(200, len(data))
            data[chance.integers(end)] ^= 1 << int(chance.integers(8))
        read += not outcome(bytes(data), how)
    assert read < 60 or kind == "BMP"


# --- EXIF ---------------------------------------------------------------------------------------


def is_turned(pixels: np.ndarray, orientation: int) -> bool:
    """Whether these are the tiles, turned upright, but for what lossy formats change."""
    wanted = TURNS[orientation](np.asarray(tiles())).astype(int)
    middles = (slice(4, None, 8), slice(4, None, 8))
    return pixels.shape == wanted.shape and bool(
        np.abs(pixels[middles].astype(int) - wanted[middles]).max() < 48
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_every_format_is_turned_upright_once(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {} if kind in ("PNG", "TIFF") else {"quality": 100}
    if kind in ("JPEG", "AVIF"):
        options["subsampling"] = "4:4:4"
    pixels = decode(saved(tiles(), kind, exif=exif, **options), "full", MAX_PIXELS)
    assert is_turned(pixels, orientation)


def exif_of(*entries: tuple[int, int, int, bytes], count: int | None = None, at: int = 8) -> bytes:
    """EXIF data: the entries are tag, type, number of values, and the values or where they are."""
    directory = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    number = len(entries) if count is None else count
    return b"Exif\0\0II*\0" + struct.pack("<IH", at, number) + directory + bytes(4)


SHORT, ASCII, LONG, RATIONAL, SRATIONAL, FLOAT = 3, 2, 4, 5, 10, 11
TURNED = (0x0112, SHORT, 1, b"\6\0\0\0")  # orientation 6
# With the orientation that can still be read, 1 where none can.
BROKEN_EXIF = {
    "nothing": (b"Exif\0\0", 1),
    "garbage": (b"Exif\0\0" + bytes(range(100)), 1),
    "a header alone": (b"Exif\0\0II*\0", 1),
    "a directory outside of it": (exif_of(at=2**31), 1),
    "orientation 0": (exif_of((0x0112, SHORT, 1, bytes(4))), 1),
    "orientation 99": (exif_of((0x0112, SHORT, 1, b"\x63\0\0\0")), 1),
    "orientation as text": (exif_of((0x0112, ASCII, 2, b"6\0\0\0")), 1),
    "orientation without value": (exif_of((0x0112, SHORT, 0, b"\6\0\0\0")), 1),
    "orientation as a rational elsewhere": (exif_of((0x0112, RATIONAL, 1, b"\xff" * 4)), 1),
    "orientation of an unknown type": (exif_of((0x0112, 99, 1, b"\6\0\0\0")), 1),
    "more entries announced than there are": (exif_of(TURNED, count=65535), 6),
    "a text of 4 GB": (exif_of(TURNED, (0x010E, ASCII, 2**32 - 1, bytes(4))), 6),
    "a directory that is itself": (exif_of(TURNED, (0x8769, LONG, 1, b"\x08\0\0\0")), 6),
    "values that cannot be written again": (
        exif_of(
            TURNED, (0x9204, SRATIONAL, 1, b"\x08\0\0\0"), (0x0102, RATIONAL, 1, b"\x0a\0\0\0")
        ),
        6,
    ),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("what", BROKEN_EXIF)
def test_broken_exif_data_lose_no_photo(kind: str, what: str) -> None:
    exif, orientation = BROKEN_EXIF[what]
    options = {} if kind == "PNG" else {"quality": 100}
    data = saved(tiles(), kind, exif=exif, **options)
    assert exif[6:] in data
    assert is_turned(decode(data, "full", MAX_PIXELS), orientation)


# --- a run on all of them -----------------------------------------------------------------------


def folder_of_all(folder: Path, face: bytes) -> dict[str, str]:
    """Fill a folder; give for each photo the reason for which it is to fail, "" where it has none.

    `face` is a photo with a face.
    """
    photo = Image.open(io.BytesIO(face)).convert("RGB")
    rgb = np.asarray(photo)
    floats = Image.fromarray(rgb[..., 0].astype(np.float32))
    half = {kind: saved(photo, kind)[:3000] for kind in ("JPEG", "PNG", "GIF", "WEBP", "AVIF")}
    flipped = saved(photo, "PNG")
    flipped = put(flipped, len(flipped) // 2, bytes([flipped[len(flipped) // 2] ^ 1]))
    turned = Image.Exif()
    turned[0x0112] = 6
    alpha = photo.copy()
    alpha.putalpha(200)
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    read: dict[str, bytes] = {
        "plain.jpg": face,
        "wrong_suffix.png": face,
        "no_suffix": face,
        "animated.gif": saved(photo, "GIF", save_all=True, append_images=[photo.rotate(180)]),
        "animated.png": saved(photo, "PNG", save_all=True, append_images=[photo.rotate(180)]),
        "animated.webp": saved(photo, "WEBP", save_all=True, append_images=[photo.rotate(180)]),
        "deep.png": saved(deep, "PNG"),
        "deep.tif": saved(deep, "TIFF"),
        "cmyk.jpg": saved(photo.convert("CMYK"), "JPEG"),
        "cmyk.tif": saved(photo.convert("CMYK"), "TIFF"),
        "palette.png": saved(photo.quantize(256), "PNG"),
        "alpha.png": saved(alpha, "PNG"),
        "grey.jpg": saved(photo.convert("L"), "JPEG"),
        "jpeg2000.jp2": saved(photo, "JPEG2000"),
        "avif.avif": saved(photo, "AVIF"),
        "heic.heic": heic(rgb),
        "jpeg_xl.jxl": jpeg_xl(rgb),
        "jpeg_xl_no_suffix": jpeg_xl(rgb, usecontainer=True),
        "raw.cr2": raw("Canon CR2", saved(photo.resize((800, 800)), "JPEG", quality=95)),
        "raw.cr3": raw("Canon CR3", saved(photo.resize((800, 800)), "JPEG", quality=95)),
        "turned.jpg": saved(Image.fromarray(np.rot90(rgb, 1)), "JPEG", exif=turned),
        "broken_exif.jpg": saved(photo, "JPEG", exif=BROKEN_EXIF["garbage"][0]),
        "broken_exif.png": saved(photo, "PNG", exif=BROKEN_EXIF["garbage"][0]),
        "broken_exif_turned.jpg": saved(
            Image.fromarray(np.rot90(rgb, 1)),
            "JPEG",
            exif=BROKEN_EXIF["values that cannot be written again"][0],
        ),
    }
    failing: dict[str, tuple[bytes, str]] = {
        "one_wide.png": (saved(Image.new("RGB", (1, 500)), "PNG"), "no_face"),
        "one_high.png": (saved(Image.new("RGB", (500, 1)), "PNG"), "no_face"),
        "one_pixel.png": (saved(Image.new("RGB", (1, 1)), "PNG"), "no_face"),
        "zero.jpg": (b"", "not_an_image"),
        "zeros.jpg": (bytes(5000), "not_an_image"),
        "page.jpg": (b"<!doctype html><title>404</title>", "not_an_image"),
        "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
        "half.heic": (heic(rgb)[:3000], "truncated"),
        "half.jxl": (jpeg_xl(rgb)[:3000], "truncated"),
        "sensor.dng": (raw("DNG"), "unsupported"),
        "float.tif": (
            saved(floats, "TIFF"),
            "unsupported",
        ),
        "flipped.png": (flipped, "truncated"),
        **{f"half.{kind.lower()}.jpg": (data, "truncated") for kind, data in half.items()},
        **{f"bomb_{name}.jpg": (make(), reason) for name, (make, reason) in BOMBS.items()},
    }
    folder.mkdir()
    for name, data in (read | {name: data for name, (data, _) in failing.items()}).items():
        (folder / name).write_bytes(data)
    return dict.fromkeys(read, "") | {name: reason for name, (_, reason) in failing.items()}


def test_a_run_on_all_of_them(tmp_path: Path, sample_photos: Path) -> None:
    face = (sample_photos / "Grace_Hopper/Grace_Hopper_0001.jpg").read_bytes()
    wanted = folder_of_all(tmp_path / "photos", face)
    detectors = "[hog@0,hog@1]"
    run = snakemake(tmp_path / "run", photos=tmp_path / "photos", shards=1, detectors=detectors)
    assert run.code == 0, run.output
    faces = pd.read_csv(run.results / "faces.csv", keep_default_na=False)
    failures = pd.read_csv(run.results / "failures.csv", keep_default_na=False)
    found = dict.fromkeys(faces["path"], "") | dict(
        zip(failures["path"], failures["reason"], strict=True)
    )
    assert found == wanted
    assert len(faces) + len(failures) == len(wanted)
    # Every photo that is read shows the same face: they lie nearer than 0.3 to the plain one,
    # where 0.6 is what dlib's author takes for another person.
    embeddings = np.load(run.results / "embeddings.npy")
    plain = embeddings[faces["path"].tolist().index("plain.jpg")]
    far = dict(zip(faces["path"], np.linalg.norm(embeddings - plain, axis=1), strict=True))
    assert {path: distance for path, distance in far.items() if distance > 0.3} == {}


def test_a_jpeg_whose_end_is_erased_is_truncated_in_no_time() -> None:
    """With 0xFF, as a card of flash memory erases; a quadratic search would take hours."""
    stream = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(stream, "JPEG")
    start = stream.getvalue()[:-40]
    with pytest.raises(PhotoError) as raised:
        decode(start + b"\xff" * 5_000_000, "full", 10**6)
    assert raised.value.reason == "truncated"


# --- boxes --------------------------------------------------------------------------------------


def boxes_without_end(kind: bytes) -> dict[str, bytes]:
    """ISO base media of a brand, with boxes that lead nowhere."""
    start = box(b"ftyp", kind + bytes(4) + kind + b"mif1")
    deep = b""
    for _ in range(2000):
        deep = box(b"meta", bytes(4) + deep)
    references = b"".join(struct.pack(">HH", item, 2) + b"\0\1\0\2" for item in range(5000))
    return {
        "as long as the file": start + struct.pack(">I4s", 0, b"meta") + bytes(5000),
        "as long as nothing": start + struct.pack(">I4s", 8, b"free") * 500_000,
        "shorter than their headers": start + struct.pack(">I4s", 1, b"meta") + bytes(5000),
        "of 16 exabytes": start + struct.pack(">I4sQ", 1, b"meta", 2**64 - 1) + bytes(5000),
        "within boxes": start + deep,
        "of many properties": start
        + box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", box(b"free", b"") * 200_000))),
        "that refer to each other": start
        + box(b"meta", bytes(4) + box(b"iref", bytes(4) + box(b"dimg", references))),
    }


@pytest.mark.parametrize("kind", [b"heic", b"avif", b"jxl ", b"crx "])
def test_boxes_without_end_are_refused(kind: bytes) -> None:
    for data in boxes_without_end(kind).values():
        assert outcome(data) in ("truncated", "unsupported")


@pytest.mark.parametrize("orientation", TURNS)
def test_a_heic_is_turned_by_itself_whatever_its_exif_data_say(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = heic(np.asarray(tiles()), exif=exif.tobytes())  # in HEIC's own way as well
    entry = struct.pack(">HHIH", 0x0112, SHORT, 1, orientation)
    assert data.count(entry) == 1
    for other in (1, 6, orientation):
        told = data.replace(entry, entry[:-2] + other.to_bytes(2))
        assert is_turned(decode(told, "full", MAX_PIXELS), orientation)
        assert is_turned(decode(told, "plain", MAX_PIXELS), orientation)


@pytest.mark.parametrize("orientation", TURNS)
def test_a_jpeg_xl_is_turned_by_itself(orientation: int) -> None:
    """Made of a JPEG, whose EXIF data stay in the file."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = saved(tiles(), "JPEG", exif=exif, quality=100, subsampling="4:4:4")
    data = pylibjxl.jpeg_to_jxl(jpeg)
    assert exif.tobytes()[6:] in pylibjxl.decode(data, metadata=True)[1]["exif"]
    assert is_turned(decode(data, "full", MAX_PIXELS), orientation)


def test_photos_that_move_or_shine_show_their_first_image() -> None:
    """MPO, motion photos (a video behind the JPEG) and Ultra HDR (a gain map behind it)."""
    other = Image.new("RGB", tiles().size)
    stereo = saved(tiles(), "MPO", save_all=True, append_images=[other], quality=100, subsampling=0)
    single = saved(tiles(), "JPEG", quality=100, subsampling=0)
    video = box(b"ftyp", b"mp42" + bytes(8)) + box(b"mdat", b"\xff\xd8\xff" * 999)
    gain_map = saved(tiles().convert("L").resize((12, 8)), "JPEG")
    for data in (stereo, single + video, single + gain_map, single + gain_map + video):
        assert is_turned(decode(data, "full", MAX_PIXELS), 1)
