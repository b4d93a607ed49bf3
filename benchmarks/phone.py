"""Measure meanface on photos as phones take them, beside face_recognition with upsample 1.

python -m benchmarks.phone                        # 12 megapixels, 6 photos of each kind
python -m benchmarks.phone --photos 1 --width 1000   # a short try

Makes four kinds of photos from the faces of a tar of portraits: portraits (one large face), groups
(faces of 60 to 350 pixels), photos without a face, and portraits as HEIC. Faces lie on a background
of soft noise. The same options give the same photos. For each kind and each way, a process of its
own encodes every face of all photos on one core. Prints a Markdown table: photos per second, faces
found of those planted, boxes elsewhere, photos that failed, and the memory of the process.
The first photo is encoded once more before the clock starts, because it opens the models.

A planted face is found if the centre of a box lies in the middle half of the face's box. The box of
a face in its portrait is where dlib's HOG detector finds it; portraits without one clear face are
not used. HEIC needs pillow-heif, which is for tests, to be written. face_recognition reads no HEIC,
so face_recognition gets the pixels that Pillow reads with pillow-heif.
"""

import argparse
import io
import multiprocessing
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import dlib
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

from benchmarks.compare import machine
from benchmarks.tilt import open_engine
from meanface.engine.outcome import Failure
from meanface.shards.manifest import Photo

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample/sample.tar.gz"
LFW = ROOT.parent / "shared/lfw/lfw-subset.tgz"
KINDS = ("portraits", "groups", "no face", "portraits, HEIC")
WAYS = ("meanface", "face_recognition")
GROUP = (100, 150, 220, 320, 500, 800)  # sides of portraits in a group, for a width of 4000
GAP = 30  # pixels between portraits in a group, for a width of 4000
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the photo."""
Planted = tuple[Path, list[Box]]
"""A photo, and the boxes of its faces."""


@dataclass(frozen=True)
class Portrait:
    """A photo of one person, and the box of the face in shares of the photo's width and height."""

    image: Image.Image
    face: Box


@dataclass(frozen=True)
class Measured:
    """One way on the photos of one kind. Seconds for all photos; `failed` could not be read."""

    seconds: float
    found: int
    elsewhere: int
    failed: int
    megabytes: float


def portraits_of(archives: Sequence[Path], count: int) -> list[Portrait]:
    """Give at most `count` portraits, spread evenly over the names in each archive."""
    detector = dlib.get_frontal_face_detector()
    portraits: list[Portrait] = []
    for archive in archives:
        with tarfile.open(archive) as tar:
            files = sorted(
                (one for one in tar if one.isreg() and one.name.lower().endswith(".jpg")),
                key=lambda one: one.name,
            )
            few = -(-count // len(archives))
            for file in files[:: max(len(files) // few, 1)]:
                content = tar.extractfile(file)
                try:
                    opened = Image.open(io.BytesIO(content.read() if content else b""))
                    image = opened.convert("RGB")
                except OSError:  # the sample holds damaged photos
                    continue
                faces = detector(np.asarray(image))
                if len(faces) == 1 and not opened.getexif():
                    portraits.append(Portrait(image, _shares(faces[0], image.size)))
    return portraits[:count]


def _shares(face: dlib.rectangle, size: tuple[int, int]) -> Box:
    width, height = size
    return (
        face.left() / width,
        face.top() / height,
        (face.right() + 1) / width,
        (face.bottom() + 1) / height,
    )


def make_photos(
    folder: Path, portraits: Sequence[Portrait], photos: int, width: int
) -> dict[str, list[Planted]]:
    """Write `photos` photos of each kind, 4:3 and `width` pixels wide; give the planted boxes."""
    rng = np.random.default_rng(1)
    made: dict[str, list[Planted]] = {kind: [] for kind in KINDS}
    for number in range(photos):
        for kind in KINDS:
            photo = _background(rng, width)
            boxes: list[Box] = []
            if kind.startswith("portraits"):
                side = int(photo.height * rng.uniform(0.6, 0.95))
                left = int(rng.integers(0, photo.width - side))
                boxes = [_plant(photo, _one_of(portraits, rng), left, photo.height - side, side)]
            elif kind == "groups":
                boxes = list(_plant_many(photo, portraits, rng))
            path = folder / f"{kind.replace(', ', '-').replace(' ', '-')}-{number}"
            path = path.with_suffix(".heic" if "HEIC" in kind else ".jpg")
            if path.suffix == ".heic":
                pillow_heif.from_pillow(photo).save(path, quality=80)
            else:
                photo.save(path, quality=92)
            made[kind].append((path, boxes))
    return made


def _background(rng: np.random.Generator, width: int) -> Image.Image:
    """Give soft colours, which compress and decode like a wall or a sky, with fine grain."""
    size = width, width * 3 // 4
    soft = Image.fromarray(rng.integers(60, 200, (9, 12, 3), dtype=np.uint8))
    pixels = np.asarray(soft.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += rng.integers(-4, 5, (size[1], size[0], 1), dtype=np.int16)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _one_of(portraits: Sequence[Portrait], rng: np.random.Generator) -> Portrait:
    return portraits[int(rng.integers(len(portraits)))]


def _plant(photo: Image.Image, portrait: Portrait, left: int, top: int, side: int) -> Box:
    """Paste a portrait as a square; give the box of its face in the photo."""
    photo.paste(portrait.image.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    shares = np.array(portrait.face) * side + np.array([left, top, left, top])
    left_edge, top_edge, right_edge, bottom_edge = shares.tolist()
    return left_edge, top_edge, right_edge, bottom_edge


def _plant_many(
    photo: Image.Image, portraits: Sequence[Portrait], rng: np.random.Generator
) -> Iterator[Box]:
    """Fill a photo with rows of portraits, each row of one size."""
    scale, top = photo.width / 4000, 0
    gap = max(int(GAP * scale), 1)
    while True:
        side = int(rng.choice(GROUP) * scale)
        if top + side > photo.height:
            return
        for left in range(gap, photo.width - side, side + gap):
            yield _plant(photo, _one_of(portraits, rng), left, top, side)
        top += side + gap


def matched(planted: Sequence[Box], found: NDArray[np.float64]) -> tuple[int, int]:
    """Count the planted boxes that are found, and the boxes found elsewhere; `found` is (n, 4)."""
    seen, elsewhere = set(), 0
    for left, top, right, bottom in found.tolist():
        x, y = (left + right) / 2, (top + bottom) / 2
        hits = [
            number
            for number, (a, b, c, d) in enumerate(planted)
            if abs(x - (a + c) / 2) < (c - a) / 4 and abs(y - (b + d) / 2) < (d - b) / 4
        ]
        seen.update(hits)
        elsewhere += not hits
    return len(seen), elsewhere


def measure(way: str, photos: Sequence[Planted], settings: Sequence[str]) -> Measured:
    """Encode all faces of photos in this process; the first photo once more, before the clock."""
    with tempfile.TemporaryDirectory() as folder:
        encode = _meanface(Path(folder), settings) if way == WAYS[0] else _face_recognition()
        encode(photos[0][0])
        total = np.zeros(3, dtype=int)
        began = time.perf_counter()
        for path, planted in photos:
            boxes = encode(path)
            known = np.empty((0, 4)) if boxes is None else boxes
            total += *matched(planted, known), boxes is None
        seconds = time.perf_counter() - began
    found, elsewhere, failed = total.tolist()
    return Measured(seconds, found, elsewhere, failed, _peak_megabytes())


Encode = Callable[[Path], NDArray[np.float64] | None]
"""Encodes every face of a photo; gives the boxes (n, 4), None where the photo cannot be read."""


def _meanface(folder: Path, settings: Sequence[str]) -> Encode:
    engine = open_engine(folder, ["face=all", *settings])

    def encode(path: Path) -> NDArray[np.float64] | None:
        data = path.read_bytes()
        (outcome,) = engine.encode([Photo(path.name, len(data), "", data)])
        if isinstance(outcome, Failure):
            return np.empty((0, 4)) if outcome.reason == "no_face" else None
        boxes = [(one.left, one.top, one.right, one.bottom) for one in (f.face for f in outcome)]
        return np.array(boxes, dtype=float)

    return encode


def _face_recognition() -> Encode:
    import face_recognition  # loads its models

    pillow_heif.register_heif_opener()

    def encode(path: Path) -> NDArray[np.float64] | None:
        image = face_recognition.load_image_file(path)
        faces = face_recognition.face_locations(image, number_of_times_to_upsample=1)
        face_recognition.face_encodings(image, faces)
        boxes = [(left, top, right, bottom) for top, right, bottom, left in faces]
        return np.array(boxes, dtype=float).reshape(-1, 4)

    return encode


def _peak_megabytes() -> float:
    """Give this process's peak memory. On Linux, ru_maxrss also counts the parent's memory."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # macOS has bytes


def row_of(kind: str, way: str, photos: int, planted: int, one: Measured) -> str:
    """Give a row of the table."""
    found = f"{one.found} of {planted}" if planted else "none planted"
    return (
        f"| {kind} | {way} | {photos / one.seconds:.2f} | {found} | {one.elsewhere}"
        f" | {one.failed} | {one.megabytes:.0f} MB |"
    )


def main() -> None:
    """Make the photos, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=6, help="photos of each kind (default 6)")
    parser.add_argument("--width", type=int, default=4000, help="pixels (default 4000, by 3000)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--portraits", nargs="+", type=Path, help="tars of photos of one person")
    parser.add_argument("--faces", type=int, default=200, help="different portraits (default 200)")
    parser.add_argument("--keep", type=Path, help="a folder for the photos, to look at")
    parser.add_argument("settings", nargs="*", help="of meanface, such as detect_pixels=0")
    arguments = parser.parse_args()
    archives = arguments.portraits or [one for one in (SAMPLE, LFW) if one.exists()]
    portraits = portraits_of(archives, arguments.faces)
    if arguments.photos < 1 or not portraits:
        parser.error("no photo to make: name tars of portraits, and 1 photo or more")
    print(f"{machine(1)}; photos of {arguments.width}x{arguments.width * 3 // 4} pixels made of")
    print(f"{len(portraits)} portraits of {', '.join(one.name for one in archives)}\n")
    print("| photos | | photos per second | faces found | boxes elsewhere | failed | memory |")
    print("|---|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        made = make_photos(folder, portraits, arguments.photos, arguments.width)
        for kind in arguments.kinds:
            planted = sum(len(boxes) for _, boxes in made[kind])
            for way in WAYS:
                # A process of its own has its own memory.
                spawn = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                    one = pool.submit(measure, way, made[kind], arguments.settings).result()
                print(row_of(kind, way, arguments.photos, planted, one), flush=True)


if __name__ == "__main__":
    main()
