"""Measure `decode: quick` on portraits of 12 megapixels, beside `decode: full`.

python -m benchmarks.quick ARCHIVE     # photos of a tar, enlarged

Prints the CPU time of `quick` divided by the CPU time of `full`, and the distance between the two
embeddings of each photo. One process encodes each photo both ways, on one core. Photos in which the
two ways take different faces, or in which one finds none, are counted separately.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.tilt import PHOTOS, open_engine, photos_of
from meanface.engine.engine import Engine
from meanface.engine.outcome import EncodedFace, Failure
from meanface.shards.manifest import Photo

SIZE = 4000, 3000
WAYS = "quick", "full"


def portraits(archive: Path, count: int) -> Iterator[Photo]:
    """Yield JPEGs with the photos of an archive, of 0.6 to 0.95 of the height, anywhere."""
    rng = np.random.default_rng(1)
    for image in photos_of(archive, count):
        soft = Image.fromarray(rng.integers(60, 200, (9, 12, 3), dtype=np.uint8))
        whole = soft.resize(SIZE, Image.Resampling.BICUBIC)
        side = int(SIZE[1] * rng.uniform(0.6, 0.95))
        left, top = (int(rng.integers(0, length - side)) for length in SIZE)
        whole.paste(image.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        stream = io.BytesIO()
        whole.save(stream, "JPEG", quality=90)
        data = stream.getvalue()
        yield Photo("photo.jpg", len(data), "0" * 64, data)


def encode(engine: Engine, photo: Photo) -> tuple[float, EncodedFace | None]:
    """Give the CPU time to encode a photo, and its face."""
    began = time.process_time()
    [outcome] = engine.encode([photo])
    return time.process_time() - began, None if isinstance(outcome, Failure) else outcome[0]


def is_one(face: EncodedFace | None, other: EncodedFace | None) -> bool:
    """Tell whether two boxes are around one face: their middles lie within a quarter of a box."""
    if face is None or other is None:
        return False
    a, b = face.face, other.face
    apart = max(abs(a.left + a.right - b.left - b.right), abs(a.top + a.bottom - b.top - b.bottom))
    return apart < a.width / 2


def main() -> None:
    """Measure, in turn: the speed of a machine varies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path, nargs="?", default=PHOTOS, help="a tar of photos")
    parser.add_argument("--photos", type=int, default=100)
    arguments = parser.parse_args()
    seconds = dict.fromkeys(WAYS, 0.0)
    quick, full, others = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        engines = {way: open_engine(Path(folder), [f"decode={way}"]) for way in WAYS}
    for photo in portraits(arguments.archive, arguments.photos):
        faces = {}
        for way in WAYS:
            taken, faces[way] = encode(engines[way], photo)
            seconds[way] += taken
        one, other = faces.values()
        if is_one(one, other) and one and other:
            quick.append(one.embedding)
            full.append(other.embedding)
        else:
            others += 1
    moved = np.linalg.norm(np.array(quick) - full, axis=1)
    mean = np.linalg.norm(np.mean(quick, axis=0) - np.mean(full, axis=0))
    print(f"{len(moved)} photos, and {others} in which the ways take different faces")
    print(f"decode: quick takes {seconds['quick'] / seconds['full']:.2f} of the CPU time of full")
    print(f"embeddings move by {np.median(moved):.3f} (median), {moved.max():.3f} at most;")
    print(f"their mean moves by {mean:.3f}")


if __name__ == "__main__":
    main()
