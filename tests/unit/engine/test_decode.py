"""Decoding photos, against pixels known by hand."""

import io
import math
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from meanface.engine.decode import PhotoError, decode, decode_reduced
from meanface.sources.formats import is_photo
from tests.unit.engine.exif_turns import TURNS

MANY = 10**6


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def gradient(height: int = 4, width: int = 6) -> NDArray[np.uint8]:
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
@pytest.mark.parametrize("how", ["full", "plain"])
def test_lossless_formats_give_their_pixels(kind: str, how: str) -> None:
    data = saved(
        Image.fromarray(gradient()), kind, **({"lossless": True} if kind == "WEBP" else {})
    )
    pixels = decode(data, how, MANY)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, gradient())


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied_unless_plain(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(gradient()), "PNG", exif=exif)
    assert np.array_equal(decode(data, "full", MANY), TURNS[orientation](gradient()))
    assert np.array_equal(decode(data, "plain", MANY), gradient())


def test_16_bits_are_scaled_unless_plain() -> None:
    deep = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    data = saved(Image.fromarray(deep), "PNG")
    assert decode(data, "full", MANY)[..., 0].tolist() == [[0, 1, 128, 255]]
    assert decode(data, "plain", MANY)[..., 0].tolist() == [[0, 255, 255, 255]]


def test_transparency_is_laid_over_white_unless_plain() -> None:
    image = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    assert decode(saved(image, "PNG"), "full", MANY).tolist() == [[[255, 255, 255]]]
    assert decode(saved(image, "PNG"), "plain", MANY).tolist() == [[[10, 20, 30]]]


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, "full", MANY)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "PA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "PA") else "PNG"
    image = Image.new("L", (2, 2), 255).convert("LA" if mode == "PA" else "L").convert(mode)
    assert decode(saved(image, kind), "full", MANY).tolist() == [[[255] * 3] * 2] * 2


def reason(data: bytes, how: str = "full", most: int = MANY) -> str:
    with pytest.raises(PhotoError) as raised:
        decode(data, how, most)
    assert "\n" not in raised.value.detail
    return raised.value.reason


def test_what_cannot_be_decoded_has_its_reason() -> None:
    jpeg = saved(Image.fromarray(gradient(64, 64)), "JPEG")
    png = saved(Image.fromarray(gradient(64, 64)), "PNG")
    assert reason(b"") == "not_an_image"
    assert reason(b"<html>404</html>") == "not_an_image"
    with pytest.raises(PhotoError, match="not_an_image: a web page"):
        decode(b"<html>404</html>", "full", MANY)
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "not_an_image"
    assert reason(jpeg[: len(jpeg) // 2]) == "truncated"
    assert reason(png[: len(png) // 2]) == "truncated"
    assert reason(jpeg, most=64 * 64 - 1) == "too_large"
    assert reason(b"\0\0\0\x18ftypheic" + bytes(12)) == "truncated"
    assert reason(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(12)) == "truncated"
    assert reason(b"\xff\n" + bytes(12)) == "truncated"
    floats = Image.fromarray(np.zeros((2, 2), dtype=np.float32))
    assert reason(saved(floats, "TIFF")) == "unsupported"
    wide = Image.fromarray(np.full((2, 2), 65536, dtype=np.int32))
    assert reason(saved(wide, "TIFF")) == "unsupported"


# --- broken, but not in a pixel -------------------------------------------------------------------


def png_with(*chunks: tuple[bytes, bytes], checksum: int = 0, at: int = 33) -> bytes:
    """A PNG with more chunks behind its header or elsewhere, their checksums off by so much."""
    data = saved(Image.fromarray(gradient(16, 24)), "PNG")
    more = b"".join(
        len(content).to_bytes(4)
        + kind
        + content
        + (zlib.crc32(kind + content) ^ checksum).to_bytes(4)
        for kind, content in chunks
    )
    return data[:at] + more + data[at:]


LONG = b"x" * 3_000_000
XMP = b"XML:com.adobe.xmp\0"
ODD_CHUNKS = {
    "text that unpacks to 3 MB": (b"zTXt", b"Comment\0\0" + zlib.compress(LONG)),
    "XMP that unpacks to 3 MB": (b"iTXt", XMP + b"\1\0x-default\0\0" + zlib.compress(LONG)),
    "XMP of 70 MB": (b"iTXt", XMP + b"\0\0\0\0" + LONG * 24),
    "a profile that cannot be unpacked": (b"iCCP", b"x\0\0junk"),
    "a resolution cut short": (b"pHYs", b"\0"),
    "a gamma cut short": (b"gAMA", b""),
    "an animation cut short": (b"acTL", b"\0"),
    "an unknown chunk": (b"prVt", b"zzz"),
}


@pytest.mark.parametrize("what", ODD_CHUNKS)
@pytest.mark.parametrize("checksum", [0, 1], ids=["sound", "with a bad checksum"])
@pytest.mark.parametrize("at", [33, -12], ids=["before the pixels", "after"])
def test_a_png_is_read_whatever_is_broken_beside_its_pixels(
    what: str, checksum: int, at: int
) -> None:
    data = png_with(ODD_CHUNKS[what], checksum=checksum, at=at)
    assert np.array_equal(decode(data, "full", MANY), gradient(16, 24))


def test_a_png_with_a_broken_text_keeps_its_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for chunk in (
        (b"eXIf", exif.tobytes()[6:]),
        (b"iTXt", XMP + b'\0\0\0\0<x tiff:Orientation="6"/>'),
    ):
        data = png_with(chunk, ODD_CHUNKS["text that unpacks to 3 MB"])
        assert np.array_equal(decode(data, "full", MANY), np.rot90(gradient(16, 24), -1))


def test_a_png_with_a_broken_pixel_or_palette_is_damaged() -> None:
    whole = png_with()
    for kind, reasons in ((b"IDAT", {"truncated"}), (b"IHDR", {"truncated", "unsupported"})):
        data = bytearray(whole)
        data[data.index(kind) + 6] ^= 1
        assert reason(bytes(data)) in reasons


def test_a_png_whose_pixels_unpack_although_they_are_damaged_is_damaged() -> None:
    """Many damaged bytes still unpack to enough pixels, so only a checksum tells."""
    y, x = np.mgrid[:48, :48]
    pixels = np.stack([x * 5, y * 5, x * y // 9], -1).astype(np.uint8)
    whole = saved(Image.fromarray(pixels), "PNG")
    places = range(whole.index(b"IDAT") + 6, whole.index(b"IEND") - 8)
    refused = 0
    for at in places:
        damaged = bytearray(whole)
        damaged[at] ^= 16
        try:
            assert np.array_equal(decode(bytes(damaged), "full", MANY), pixels)
        except PhotoError as error:
            assert error.reason == "truncated"
            refused += 1
    assert refused >= len(places) - 1  # a last byte may have bits to spare


def test_a_png_is_read_if_the_checksum_of_all_its_pixels_is_right() -> None:
    data = bytearray(png_with())
    (length,) = struct.unpack(">I", data[(at := data.index(b"IDAT")) - 4 : at])
    data[at + 4 + length] ^= 1
    assert np.array_equal(decode(bytes(data), "full", MANY), gradient(16, 24))


JPEGS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_rows": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_blocks": 2},
    "grey": {},
}


def photo() -> Image.Image:
    """Noise over a gradient: 45 x 67 pixels, no multiple of a block, all of them different."""
    noise = np.random.default_rng(2).integers(-20, 20, (45, 67, 3))
    ramp = np.linspace(40, 210, 67)[None, :, None] + noise
    return Image.fromarray(ramp.astype(np.uint8))


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_end_mark_is_read_if_no_pixel_is_missing(kind: str) -> None:
    image = photo().convert("L") if kind == "grey" else photo()
    whole = saved(image, "JPEG", quality=90, **JPEGS[kind])
    pixels = decode(whole, "full", MANY)
    assert whole.endswith(b"\xff\xd9")
    for data in (whole[:-2], whole[:-1], whole[:-2] + b"\xff" * 99, whole[:-2] + bytes(99)):
        assert np.array_equal(decode(data, "full", MANY), pixels)
    # Whatever less there is: no pixel is made up. Every restart marker is among the places.
    read = 0
    for end in range(len(whole) // 3, len(whole) - 2):
        try:
            found = decode(whole[:end], "full", MANY)
        except PhotoError as error:
            assert error.reason in ("truncated", "not_an_image")
        else:
            read += 1
            assert np.array_equal(found, pixels), end
    assert read < 8  # bits that fill the last byte, padding behind the last pixel


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}, {"tile_size": (8, 8)}])
def test_a_jpeg_2000_without_its_end_mark_is_read_if_no_pixel_is_missing(
    options: dict[str, object],
) -> None:
    whole = saved(Image.fromarray(gradient(16, 24)), "JPEG2000", **options)
    for missing in (1, 2):
        assert np.array_equal(decode(whole[:-missing], "full", MANY), gradient(16, 24))
    for missing in range(3, 100):
        assert reason(whole[:-missing]) == "truncated"


def test_a_bmp_may_lack_the_padding_of_its_last_row() -> None:
    image = photo()  # rows of 201 bytes and 3 of padding
    whole = saved(image, "BMP")
    for missing in (1, 2, 3):
        assert np.array_equal(decode(whole[:-missing], "full", MANY), np.asarray(image))
    assert reason(whole[:-4]) == "truncated"


def test_a_webp_is_read_whatever_size_it_announces() -> None:
    whole = saved(photo(), "WEBP", lossless=True, exif=Image.Exif().tobytes())
    for size in (len(whole) + 100, len(whole) - 20, 0):
        data = whole[:4] + size.to_bytes(4, "little") + whole[8:]
        assert np.array_equal(decode(data, "full", MANY), np.asarray(photo()))
    assert np.array_equal(decode(whole[:-3], "full", MANY), np.asarray(photo())), "EXIF is cut"
    assert reason(whole[: len(whole) // 2]) == "truncated"


# --- kinds that are not read ----------------------------------------------------------------------


def detail(data: bytes) -> str:
    with pytest.raises(PhotoError) as raised:
        decode(data, "full", MANY)
    assert raised.value.reason == "unsupported", raised.value
    assert "\n" not in raised.value.detail
    return raised.value.detail


def test_kinds_of_jpeg_that_are_not_read_are_named() -> None:
    data = saved(photo(), "JPEG", exif=b"Exif\0\0" + b"\xff\xc0" * 30)
    frame = data.rindex(b"\xff\xc0")

    def changed(marker: int = 0xC0, bits: int = 8, height: int = 45) -> bytes:
        header = bytes((0xFF, marker)) + data[frame + 2 : frame + 4] + bytes([bits])
        return data[:frame] + header + height.to_bytes(2) + data[frame + 7 :]

    assert changed() == data
    assert detail(changed(bits=12)) == "JPEG of 12 bits per channel"
    assert detail(changed(height=0)) == "JPEG that tells its height after its pixels (DNL)"
    assert detail(changed(0xF7)) == "JPEG-LS"
    assert detail(changed(0xC5)) == "hierarchical JPEG"
    assert detail(changed(0xCB)) == "lossless JPEG"


def test_the_end_of_a_jpeg_is_cut_and_no_other_kind() -> None:
    data = saved(photo(), "JPEG")
    for end in (3, 10, 100, 200):
        assert reason(data[:end]) in ("truncated", "not_an_image")


def test_kinds_of_image_that_are_not_read_are_named() -> None:
    assert detail(b"8BPS\0\1" + bytes(30)) == "Photoshop"
    assert detail(b"II\xbc\1" + bytes(30)) == "JPEG XR"
    assert detail(b"qoif" + bytes(30)) == "QOI"
    assert detail(b"\0\0\0\x18ftypqt  " + bytes(12)) == "format 'qt'"


def raw_tiff(**tags: object) -> bytes:
    """A TIFF of two images, the first with these tags (t254=1: a thumbnail)."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[int(tag[1:])] = value
    small = Image.fromarray(gradient())
    return saved(small, "TIFF", save_all=True, append_images=[small], tiffinfo=info)


RAWS = {
    "Nikon RAW": raw_tiff(t254=1, t271="NIKON CORPORATION"),
    "Sony RAW": raw_tiff(t254=1, t271="SONY"),
    "Pentax RAW": raw_tiff(t254=1, t271="PENTAX             "),
    "DNG": raw_tiff(t50706=b"\1\4\0\0"),
    "RAW": raw_tiff(t254=1),
    "Canon CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(2000),
    "Canon CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(2000),
    "Fujifilm RAF": b"FUJIFILMCCD-RAW 0201FF383501" + bytes(2000),
    "Olympus ORF": b"IIRO\x08\0\0\0" + bytes(2000),
    "Panasonic RW2": b"IIU\0\x18\0\0\0" + bytes(2000),
    "Sigma X3F": b"FOVb" + bytes(2000),
}


@pytest.mark.parametrize("kind", RAWS)
def test_raw_files_are_told_and_their_thumbnails_are_no_photos(kind: str) -> None:
    without = "without a preview of at least 640x480 pixels: export it as JPEG"
    assert detail(RAWS[kind]) == f"{kind} {without}"
    assert is_photo("no_suffix", RAWS[kind], frozenset())


def test_other_tiffs_are_photos() -> None:
    """With the tag for a thumbnail alone, of one image only, or with a camera's name."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[254] = 1
    assert decode(saved(Image.fromarray(gradient()), "TIFF", tiffinfo=info), "full", MANY).any()
    for data in (raw_tiff(), raw_tiff(t271="NIKON CORPORATION"), raw_tiff(t254=2)):
        assert np.array_equal(decode(data, "full", MANY), gradient())


def test_a_negative_of_16_bits_is_turned() -> None:
    deep = 65535 - gradient()[..., 0].astype(np.uint16) * 257
    for compression in (None, "tiff_lzw"):
        info = {262: 0}
        data = saved(Image.fromarray(deep), "TIFF", tiffinfo=info, compression=compression)
        opened: Any = Image.open(io.BytesIO(data))
        assert opened.tag_v2[262] == 0
        assert np.array_equal(decode(data, "full", MANY)[..., 0], gradient()[..., 0])
        assert decode(data, "plain", MANY)[0, 1, 0] == 255  # as in face_recognition


def test_plain_fills_up_a_truncated_photo() -> None:
    jpeg = saved(Image.fromarray(gradient(64, 64)), "JPEG")
    assert decode(jpeg[: len(jpeg) // 2], "plain", MANY).shape == (64, 64, 3)
    assert reason(jpeg[: len(jpeg) // 2], "full") == "truncated"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    side = (100_000).to_bytes(4)
    header = b"IHDR" + side + side + bytes([8, 2, 0, 0, 0])
    start = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + header + zlib.crc32(header).to_bytes(4)
    assert reason(start + saved(Image.fromarray(gradient()), "PNG")[33:], most=10**8) == "too_large"


@pytest.mark.parametrize("level", [0, 9])
def test_a_png_that_lacks_pixels_is_truncated_wherever_it_is_cut(level: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=level)
    data = stream.getvalue()
    for cut in range(1, 200):
        try:
            found = decode(data[:-cut], "full", 10**6)
        except PhotoError as error:
            assert error.reason == "truncated"
        else:
            assert np.array_equal(found, pixels), f"{cut} bytes less"


def portrait(height: int = 150, width: int = 200) -> Image.Image:
    soft = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(soft).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("enough_and_scale", [(468, 8), (470, 4), (1876, 2), (7501, 1)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_at_the_least_part_with_enough_pixels(
    enough_and_scale: tuple[int, int], orientation: int
) -> None:
    enough, scale = enough_and_scale
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(portrait(), "JPEG", quality=95, exif=exif, progressive=orientation == 6)
    pixels, factor = decode_reduced(data, "quick", MANY, enough)
    assert factor == scale
    upright = Image.fromarray(decode(data, "full", MANY))
    size = -(-upright.width // scale), -(-upright.height // scale)
    wanted = np.asarray(upright.resize(size, Image.Resampling.BOX))
    assert pixels.shape == wanted.shape
    assert np.abs(pixels.astype(int) - wanted).mean() < 4  # of 255


def test_other_formats_and_thin_jpegs_are_decoded_in_full() -> None:
    for kind in ("PNG", "WEBP", "TIFF"):
        data = saved(portrait(), kind)
        pixels, factor = decode_reduced(data, "quick", MANY, 1)
        assert factor == 1
        assert np.array_equal(pixels, decode(data, "full", MANY))
    thin = saved(Image.new("RGB", (5000, 1)), "JPEG")
    assert decode_reduced(thin, "quick", MANY, 1)[1] == 1


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_part_of_a_jpeg_sees_the_damage_and_the_size_of_the_whole(
    options: dict[str, object],
) -> None:
    data = saved(portrait(), "JPEG", **options)

    def outcome(cut: bytes, most: int, enough: float) -> str:
        try:
            decode_reduced(cut, "quick", most, enough)
        except PhotoError as error:
            return error.reason
        return "read"

    for end in [*range(0, len(data), 7), *range(len(data) - 20, len(data) + 1)]:
        assert outcome(data[:end], MANY, 1) == outcome(data[:end], MANY, math.inf), end
    assert outcome(data, 200 * 150 - 1, 1) == "too_large"
