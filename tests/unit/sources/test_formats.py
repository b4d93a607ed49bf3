"""Which bytes are a photo."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from meanface.sources.formats import is_photo, other_kind
from tests.runs import ROOT

SUFFIXES = frozenset({".jpg", ".jpeg"})


def image(format: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, format)
    return stream.getvalue()


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "MPO", "JPEG2000", "AVIF"]
)
def test_photos_are_told_by_their_content(format: str) -> None:
    Image.init()
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow has no {format}")
    assert is_photo("no_suffix", image(format), frozenset())
    assert is_photo("wrong.txt", image(format), SUFFIXES)
    assert not is_photo("no_suffix", b"", frozenset())


def test_photos_are_told_by_their_suffix() -> None:
    assert is_photo("a/B.JPG", b"no image", SUFFIXES)
    assert is_photo("b.jpg", None, frozenset({".JPG"}))
    assert not is_photo("jpg", b"no image", SUFFIXES)
    assert not is_photo("a.jpg.txt", b"no image", SUFFIXES)
    assert not is_photo("a", None, SUFFIXES)


def test_every_format_is_known_from_the_start() -> None:
    code = (
        "import sys; from meanface.sources.formats import is_photo; "
        "print(is_photo('x', sys.stdin.buffer.read(), frozenset()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=image("TIFF"), capture_output=True, cwd=ROOT, check=True)
    assert done.stdout == b"True\n"


@pytest.mark.parametrize(
    "content", [b"text", b"Python", b"BMW", b"%PDF-1.4", b"GIF89a", image("PNG")[:20], bytes(99)]
)
def test_what_is_no_photo(content: bytes) -> None:
    assert not is_photo("notes", content, SUFFIXES)


def test_other_formats_are_no_photos_and_monstrous_photos_are() -> None:
    assert not is_photo("icon", image("ICO"), SUFFIXES)
    monster = bytearray(image("BMP"))
    monster[18:26] = (60_000).to_bytes(4, "little") * 2
    assert is_photo("monster", bytes(monster), SUFFIXES)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html>\n<title>404</title>", "a web page"),
        (b"\xef\xbb\xbf\r\n <HTML lang='en'>", "a web page"),
        (b'<?xml version="1.0"?><svg xmlns="x">', "an SVG drawing"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file"),
        (b'{"error": "not found"}', "a JSON file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS: run git lfs pull"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PK\x03\x04\x14\0", "a zip archive or an office document"),
        (bytes(100), "zero bytes: the copy or the disk failed"),
        ("zażółć gęślą jaźń\n".encode() * 50, "a text file"),
        (b"photo of the office", "a text file"),
        (b"\x01\x02\x03\x04\x05\x06", ""),
        ("naïve".encode("latin-1"), ""),
    ],
)
def test_a_file_that_is_no_image_says_what_it_is(data: bytes, kind: str) -> None:
    assert other_kind(data) == kind
