"""Tell photos from other files, and name the kind of an image."""

import codecs
import io
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module

# Formats, as Pillow names them, and the modules that read them.
_PLUGINS = {
    **{"JPEG": "Jpeg", "PNG": "Png", "WEBP": "WebP", "TIFF": "Tiff", "BMP": "Bmp", "GIF": "Gif"},
    **{"PPM": "Ppm", "JPEG2000": "Jpeg2K", "AVIF": "Avif"},
}


@cache
def readable_formats() -> list[str]:
    """Give the photo formats that Pillow opens and decodes by itself.

    HEIC and JPEG XL, which other libraries decode, are told by their first bytes: see image_kind.
    EPS is not among the formats, because Pillow would start Ghostscript to decode EPS.
    """
    from PIL import Image  # takes 0.2 s, which most jobs can save

    # Image.init would import as many modules again, of formats that are not read.
    for plugin in _PLUGINS.values():
        import_module(f"PIL.{plugin}ImagePlugin")
    Image.MAX_IMAGE_PIXELS = None  # max_pixels is the limit, and gives a row in failures.csv
    return [name for name in _PLUGINS if name in Image.OPEN]


def is_photo(path: str, data: bytes | None, suffixes: frozenset[str]) -> bool:
    """Tell a photo by the ending of its name (`.jpg`, in any case) or else by its content.

    The content is a photo if Pillow finds the header of one of readable_formats(), or if the
    content is a RAW file, a HEIC or a JPEG XL. The endings RAW_SUFFIXES also tell a RAW file.
    Nothing is decoded. Without data, only the name counts.
    """
    if path.lower().endswith((*RAW_SUFFIXES, *(suffix.lower() for suffix in suffixes))):
        return True
    if data is None:
        return False
    if raw_kind(data) or image_kind(data) in (HEIC, JPEG_XL):
        return True
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=readable_formats()):
            return True
    except Exception:  # a plugin of Pillow may raise anything on bytes that are no photo
        return False


_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst", ".zip")


def is_archive(name: str) -> bool:
    """Tell by its name whether a file is an archive."""
    return name.lower().endswith(_ARCHIVES)


# --- RAW ----------------------------------------------------------------------------------------

RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".gpr", ".iiq", ".kdc"),
    *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2"),
    *(".srf", ".srw", ".x3f"),
)
_RAW = {
    rb"FUJIFILMCCD-RAW": "Fujifilm RAF",
    rb"....ftypcrx ": "Canon CR3",
    rb"(?:II\*\0|MM\0\*)....CR\x02": "Canon CR2",
    rb"II....HEAPCCDR": "Canon CRW",
    rb"II(?:RO|RS)|MMOR": "Olympus ORF",
    rb"IIU\0": "Panasonic RW2",
    rb"FOVb": "Sigma X3F",
    rb"\0MRM": "Minolta MRW",
    rb"(?:II\*\0|MM\0\*)....IIII": "Phase One IIQ",
}


def is_raw(path: str, data: bytes | None) -> bool:
    """Tell a RAW file by the ending of its name, or else by its content."""
    return path.lower().endswith(RAW_SUFFIXES) or bool(data and raw_kind(data))


def raw_kind(data: bytes) -> str:
    """Name the kind of RAW file that `data` holds; "" for other data.

    A TIFF is a RAW file in three cases: it has the tag DNGVersion, its pixels are a colour filter
    mosaic, or a camera wrote it with a thumbnail as its first image.
    """
    if data.startswith(b"\xff\xd8\xff"):  # a JPEG, as most photos are
        return ""
    for pattern, name in _RAW.items():
        if re.match(pattern, data, re.DOTALL):
            return name
    tags = tiff_tags(data)
    if DNG_VERSION in tags:
        return "DNG"
    maker = str(tags.get(MAKE, "")).split(" ")[0].title()
    is_mosaic = tags.get(PHOTOMETRIC) in (32803, 34892)
    has_more = bool(SUB_IFDS in tags or tags.get(NEXT_IFD) or maker)
    is_thumbnail = tags.get(NEW_SUBFILE_TYPE) == 1 and has_more
    return f"{maker} RAW".strip() if is_mosaic or is_thumbnail else ""


# --- TIFF ---------------------------------------------------------------------------------------

# Tags of TIFF 6.0, section 8, and of DNG 1.7. NEXT_IFD is ours: the offset of a second image.
NEW_SUBFILE_TYPE, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, MAKE = 254, 258, 259, 262, 271
ORIENTATION, PLANAR, TILE_WIDTH, TILE_HEIGHT, SUB_IFDS = 274, 284, 322, 323, 330
SAMPLE_FORMAT, DNG_VERSION, NEXT_IFD = 339, 50706, -1
_MOST_TAGS = 1000


_TIFF_ORDERS = {
    **{b"II*\0": "<", b"MM\0*": ">"},
    **{b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"},  # Olympus ORF, Panasonic RW2
    **{b"II+\0": "<", b"MM\0+": ">"},  # BigTIFF, whose offsets and counts take 8 bytes
}


def tiff_tags(data: bytes, start: int = 0) -> dict[int, int | str]:
    """Give the tags of a TIFF's image: the first number of a list, a text of any length.

    `start` is the place of the image's directory; 0 stands for the first image. Empty for other
    data. A value outside the data is left out, and then NEXT_IFD is left out as well.
    """
    order = _TIFF_ORDERS.get(data[:4])
    if order is None or len(data) < 16:
        return {}
    is_big = b"+" in data[2:4]
    first = struct.unpack_from(f"{order}Q" if is_big else f"{order}I", data, 8 if is_big else 4)[0]
    return dict(_tags(data, order, start or first, is_big=is_big))


def _tags(data: bytes, order: str, start: int, *, is_big: bool) -> Iterator[tuple[int, int | str]]:
    number_form, place_form, width, entry = ("Q", "Q", 8, 20) if is_big else ("H", "I", 4, 12)
    begin = start + struct.calcsize(f"={number_form}")
    if begin > len(data):
        return
    is_whole = True
    count = min(struct.unpack_from(f"{order}{number_form}", data, start)[0], _MOST_TAGS)
    end = begin + entry * count
    for at in range(begin, end, entry):
        if at + entry > len(data):
            return
        tag, kind, number = struct.unpack_from(f"{order}HH{place_form}", data, at)
        size = {1: 1, 2: 1, 3: 2, 4: 4, 13: 4, 16: 8}.get(kind, 0) * number
        where = at + entry - width
        if size > width:
            where = struct.unpack_from(f"{order}{place_form}", data, where)[0]
        value = data[where : where + min(size, 1 << 10)]
        is_whole &= where + size <= len(data)
        if kind == 2:
            yield tag, value.split(b"\0")[0].decode("latin-1").strip()
        elif len(value) == size > 0 or len(value) == 1 << 10:
            form = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}[kind]
            yield tag, struct.unpack_from(f"{order}{form}", value)[0]
    if is_whole and end + width <= len(data):
        yield NEXT_IFD, struct.unpack_from(f"{order}{place_form}", data, end)[0]


# --- kinds --------------------------------------------------------------------------------------

HEIC, JPEG_XL = "HEIC", "JPEG XL"
_IMAGES = {
    rb"\xff\xd8\xff": "JPEG",
    rb"\x89PNG\r\n\x1a\n": "PNG",
    rb"GIF8[79]a": "GIF",
    rb"RIFF....WEBP": "WebP",
    rb"II[*+]\0|MM\0[*+]": "TIFF",
    rb"BM....\0\0\0\0": "BMP",
    rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51": "JPEG 2000",
    rb"....ftypavi[fs]": "AVIF",
    rb"....ftyp(?:hei[cxms]|hev[cmsx]|mi[af]1|msf1)": HEIC,
    rb"\xff\n|....JXL ": JPEG_XL,
    rb"8BPS": "Photoshop",
    rb"II\xbc": "JPEG XR",
    rb"v/1\x01": "OpenEXR",
    rb"#\?RADIANCE": "Radiance HDR",
    rb"qoif": "QOI",
    rb"BPG\xfb": "BPG",
    rb"FLIF": "FLIF",
    rb"gimp xcf": "GIMP",
    rb"DDS ": "DDS",
    rb"AT&TFORM": "DjVu",
    rb"\0\0\x01\0[^\0]\0": "icon",
}


def image_kind(data: bytes) -> str:
    """Name the kind of image that begins with these bytes; "" if no known kind does."""
    return raw_kind(data) or _kind_in(_IMAGES, data)


def _kind_in(kinds: Mapping[bytes, str], data: bytes) -> str:
    return next((name for start, name in kinds.items() if re.match(start, data, re.DOTALL)), "")


# Files under the name of a photo that hold something else. \xef\xbb\xbf is the mark of UTF-8.
_OTHERS = {
    rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body)": "a web page",
    rb"(?i)(?:\xef\xbb\xbf)?\s*(?:<\?xml.{,200}?)?<svg": "an SVG drawing",
    rb"(?i)(?:\xef\xbb\xbf)?\s*<\?xml": "an XML file",
    rb"(?:\xef\xbb\xbf)?\s*[{\[]\s*[\"{\[\]}]": "a JSON file",
    rb"version https://git-lfs": "a pointer of Git LFS: run git lfs pull",
    rb"%PDF-": "a PDF",
    rb"%!PS": "a PostScript file",
    rb"PK\x03\x04": "a zip archive or an office document",
    rb"Rar!\x1a\x07": "a RAR archive",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive",
    rb"\x1f\x8b": "a gzip file",
    rb"RIFF....AVI |\x1aE\xdf\xa3": "a video",
    rb"\0{8}": "zero bytes: the copy or the disk failed",
    rb"\0\x05\x16\x07": "a file that macOS keeps beside a photo",
}


def other_kind(data: bytes) -> str:
    """Name the kind of file that begins with these bytes and is no image; "" if it is unknown."""
    if name := _kind_in(_OTHERS, data):
        return name
    head = data[:512]
    with suppress(UnicodeDecodeError):
        # Not final: the last character may be cut.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
        if text and all(char.isprintable() or char.isspace() for char in text):
            return "a text file"
    return ""
