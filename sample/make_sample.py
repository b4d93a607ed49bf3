"""Make the bundled sample: an archive of 30 photos, its sha256 and the outcome each should have.

    python sample/make_sample.py [--out FOLDER]

The sources are photos that matplotlib and scikit-image ship; README.md beside this script names
their licences. With the same library versions the same bytes are written each time.
"""

import argparse
import csv
import gzip
import hashlib
import importlib.util
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from PIL.Image import Resampling, Transpose

SOURCES = {
    "hopper": (
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    ),
    "collins": (
        "skimage",
        "data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    "cameraman": (
        "skimage",
        "data/camera.png",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    ),
    "coffee": (
        "skimage",
        "data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "cat": (
        "skimage",
        "data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "bricks": (
        "skimage",
        "data/brick.png",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    ),
}

ORIENTATION = 0x0112  # the EXIF tag; its value says how a viewer has to turn the stored pixels
STORED_FOR = {3: Transpose.ROTATE_180, 6: Transpose.ROTATE_90, 8: Transpose.ROTATE_270}
GREY = (128, 128, 128)

WEB_PAGE = b"<!DOCTYPE html>\n<title>404 Not Found</title>\n<h1>This photo is gone</h1>\n"
README = b"A sample of photos for meanface. Files that are no photos are skipped.\n"
# What a Mac leaves behind: the start of a Finder settings file, and an empty AppleDouble file.
DS_STORE = b"\0\0\0\1Bud1" + bytes(24)
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00" + bytes(18)


@dataclass(frozen=True)
class Member:
    """A file of the archive; `outcome` is None for a file that is no photo and must be skipped."""

    path: str
    data: bytes
    outcome: str | None


def load_source(name: str) -> Image.Image:
    """Return a source photo as RGB (or L), refusing any other bytes than the known ones."""
    package, path, sha256 = SOURCES[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; install the development requirements")
    data = (Path(spec.origin).parent / path).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SystemExit(f"{package}/{path} is not the file that the sample was made from")
    return Image.open(io.BytesIO(data))


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Return `image` as the bytes of a file of the given Pillow format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 88} if kind in ("JPEG", "WEBP") else {}), **options)
    return buffer.getvalue()


def resize(image: Image.Image, width: int, height: int | None = None) -> Image.Image:
    """Return `image` at the given size; a square where only the width is given."""
    return image.resize((width, height or width), Resampling.LANCZOS)


def turn(image: Image.Image, degrees: float) -> Image.Image:
    """Return `image` turned counter-clockwise about its centre, the corners filled with grey."""
    return image.rotate(degrees, Resampling.BICUBIC, fillcolor=GREY)


def with_orientation(image: Image.Image, orientation: int) -> bytes:
    """Return a JPEG whose pixels lie on their side or head, and whose EXIF says so."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(image.transpose(STORED_FOR[orientation]), exif=exif)


def cut_out(image: Image.Image) -> Image.Image:
    """Return `image` as RGBA with all outside an ellipse transparent."""
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, image.width - 1, image.height - 1), fill=255)
    empty = Image.new("RGBA", image.size, (0, 0, 0, 0))
    return Image.composite(image.convert("RGBA"), empty, mask)


def as_gif(image: Image.Image) -> bytes:
    """Return RGBA `image` as a GIF: 255 colours, and one that is transparent."""
    palette = image.convert("RGB").quantize(255)
    palette.paste(255, mask=image.getchannel("A").point(lambda alpha: 255 - alpha))
    return encode(palette, "GIF", transparency=255)


def as_16_bit(image: Image.Image) -> bytes:
    """Return `image` as a 16-bit greyscale PNG that uses the whole range."""
    return encode(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG")


def inset(image: Image.Image, other: Image.Image) -> Image.Image:
    """Return `image` with `other` in its lower right corner."""
    both = image.copy()
    both.paste(other, (image.width - other.width, image.height - other.height))
    return both


def hopper_photos() -> dict[str, bytes]:
    """Grace Hopper: name of the file to its bytes."""
    portrait = load_source("hopper")
    head = portrait.crop((100, 60, 450, 410))
    face = resize(head, 250)
    photos = [
        ("jpg", encode(portrait)),
        ("jpg", encode(face)),
        ("jpg", encode(face.convert("L"))),
        ("jpg", encode(face.convert("CMYK"))),
        ("png", as_16_bit(face)),
        ("jpg", with_orientation(face, 6)),
        ("jpg", with_orientation(face, 3)),
        ("png", encode(cut_out(face), "PNG")),
        ("tif", encode(face, "TIFF", compression="tiff_lzw")),
        ("jpg", encode(resize(head, 80))),
        ("jpg", encode(resize(turn(head, 60), 250))),
    ]
    return numbered("Grace_Hopper", photos)


def collins_photos() -> dict[str, bytes]:
    """Eileen Collins: name of the file to its bytes."""
    portrait = load_source("collins")
    head = portrait.crop((100, 0, 330, 230))
    face = resize(head, 250)
    photos = [
        ("jpg", encode(portrait.crop((0, 0, 512, 440)))),
        ("jpg", encode(face)),
        ("png", encode(face, "PNG")),
        ("webp", encode(face, "WEBP")),
        ("gif", as_gif(cut_out(face))),
        ("jpg", with_orientation(face, 8)),
        ("JPG", encode(ImageOps.mirror(face), progressive=True)),
        ("jpg", encode(resize(head, 80))),
        ("jpg", encode(resize(turn(head, 60), 250))),
    ]
    return numbered("Eileen_Collins", photos)


def other_photos() -> dict[str, bytes]:
    """Both women in one photo, and a man in profile: name of the file to its bytes."""
    hopper = load_source("hopper")
    collins = load_source("collins")
    hopper_head = resize(hopper.crop((100, 60, 450, 410)), 160)
    collins_head = resize(collins.crop((115, 0, 325, 210)), 160)
    both = [
        ("jpg", encode(inset(collins.crop((0, 0, 512, 320)), hopper_head))),
        ("jpg", encode(inset(hopper.crop((0, 0, 512, 460)), collins_head))),
    ]
    profile = resize(load_source("cameraman").crop((100, 30, 360, 290)), 250)
    return numbered("Both", both) | numbered("Cameraman", [("jpg", encode(profile))])


def numbered(person: str, photos: list[tuple[str, bytes]]) -> dict[str, bytes]:
    """Name photos as Labeled Faces in the Wild does: person/person_0001.jpg and so on."""
    return {
        f"{person}/{person}_{number:04}.{extension}": data
        for number, (extension, data) in enumerate(photos, start=1)
    }


def failures() -> dict[str, tuple[bytes, str]]:
    """The photos that have to fail: name of the file to its bytes and the reason."""
    collins = load_source("collins").crop((100, 0, 330, 230))
    jpeg, png = encode(collins), encode(collins, "PNG")
    coffee = encode(resize(load_source("coffee"), 240, 160))
    cat = encode(resize(load_source("cat"), 210, 140).quantize(64), "PNG")
    bricks = encode(resize(load_source("bricks"), 160))
    return {
        "Failures/Café, no people.jpg": (coffee, "no_face"),
        "Failures/Cat.png": (cat, "no_face"),
        "Failures/Brick_wall.jpg": (bricks, "no_face"),
        "Failures/Cut_off.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "Failures/Cut_off.png": (png[: len(png) // 2], "truncated"),
        "Failures/Empty.jpg": (b"", "not_an_image"),
        "Failures/Web_page.jpg": (WEB_PAGE, "not_an_image"),
    }


def members() -> list[Member]:
    """Return every file of the archive, sorted by path."""
    faces = hopper_photos() | collins_photos() | other_photos()
    others = {
        ".DS_Store": DS_STORE,
        "README.txt": README,
        "Grace_Hopper/._Grace_Hopper_0001.jpg": APPLE_DOUBLE,
    }
    found = [Member(f"sample/{path}", data, "encoded") for path, data in faces.items()]
    found += [Member(f"sample/{path}", data, why) for path, (data, why) in failures().items()]
    found += [Member(f"sample/{path}", data, None) for path, data in others.items()]
    return sorted(found, key=lambda member: member.path)


def archive_bytes(files: list[Member]) -> bytes:
    """Return a .tar.gz of `files`, in their order, with no times and no owners."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for file in files:
            info = tarfile.TarInfo(file.path)
            info.size = len(file.data)
            tar.addfile(info, io.BytesIO(file.data))
    return buffer.getvalue()


def expected_csv(files: list[Member]) -> bytes:
    """Return the table of the outcome that each photo should have, one row per photo."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("path", "outcome"))
    table.writerows((file.path, file.outcome) for file in files if file.outcome)
    return text.getvalue().encode()


def write(path: Path, data: bytes) -> None:
    """Write a file so that its name never stands for a part of it."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def main() -> None:
    """Write the archive, its sha256 and the expected outcomes."""
    parser = argparse.ArgumentParser(description="Make the bundled sample.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to fill")
    folder: Path = parser.parse_args().out
    files = members()
    archive = archive_bytes(files)
    digest = hashlib.sha256(archive).hexdigest()
    write(folder / "sample.tar.gz", archive)
    write(folder / "sample.tar.gz.sha256", f"{digest}  sample.tar.gz\n".encode())
    write(folder / "expected.csv", expected_csv(files))


if __name__ == "__main__":
    main()
