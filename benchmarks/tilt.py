"""Measure what becomes of tilted faces: photos turned by every angle.

Prints a Markdown table: how many of the faces are found, how far their embeddings are from those of
the same faces in the photos as they are. A photo with a face found elsewhere is counted apart.
"""

import argparse
import io
import math
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.engine import Engine
from meanface.engine.export import export
from meanface.engine.outcome import EncodedFace, Failure
from meanface.engine.settings import EngineSettings
from meanface.shards.manifest import Photo

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared/lfw/lfw-subset.tgz"
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Turned:
    """A face in a photo turned by `angle` degrees: its distance to the same face upright.

    `result` is the detector that found the face, the reason of a failure, or "another face".
    """

    angle: int
    result: str
    distance: float | None


def photos_of(archive: Path, count: int) -> Iterator[Image.Image]:
    """Yield `count` photos of an archive, evenly spread over it by name."""
    with tarfile.open(archive) as tar:
        files = sorted((file for file in tar if file.isreg()), key=lambda file: file.name)
        files = [file for file in files if file.name.lower().endswith(".jpg")]
        for i in range(min(count, len(files))):
            file = files[i * len(files) // min(count, len(files))]
            if content := tar.extractfile(file):
                yield Image.open(io.BytesIO(content.read())).convert("RGB")


def open_engine(folder: Path, changes: Iterable[str]) -> Engine:
    """Open the engine with the default settings and `changes`, each key=value."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    for change in changes:
        key, _, value = change.partition("=")
        config[key] = yaml.safe_load(value)
    settings = EngineSettings.of(config)
    models = {Path(name).stem: folder / name for name in settings.models}
    for name, model in models.items():
        export(name, model)
    return Engine(settings, models)


def encode(engine: Engine, images: Sequence[Image.Image]) -> list[EncodedFace | Failure]:
    """Give the face, or the failure, of each photo."""
    photos = []
    for image in images:
        stream = io.BytesIO()
        image.save(stream, "BMP")
        photos.append(Photo("", len(stream.getvalue()), "", stream.getvalue()))
    outcomes = engine.encode(photos)
    return [one if isinstance(one, Failure) else one[0] for one in outcomes]


def middle(face: EncodedFace) -> NDArray[np.float64]:
    """Give the middle of a face's box, x and y."""
    box = face.face
    return np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])


def compare(
    engine: Engine, known: Sequence[tuple[Image.Image, EncodedFace]], angle: int
) -> Iterator[Turned]:
    """Turn photos counterclockwise; compare their faces with those of the photos as they are."""
    turned = [
        image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)
        for image, _ in known
    ]
    radians = math.radians(angle)
    cosine, sine = math.cos(radians), math.sin(radians)
    for (image, face), after, now in zip(known, turned, encode(engine, turned), strict=True):
        if isinstance(now, Failure):
            yield Turned(angle, now.reason, None)
            continue
        x, y = middle(face) - np.array(image.size) / 2
        place = np.array([cosine * x + sine * y, cosine * y - sine * x]) + np.array(after.size) / 2
        if np.abs(middle(now) - place).max() > 0.6 * face.face.width:
            yield Turned(angle, "another face", None)
            continue
        distance = float(np.linalg.norm(now.embedding - face.embedding))
        yield Turned(angle, now.detector, distance)


def row_of(name: str, faces: Sequence[Turned]) -> str:
    """Give the row of the table for these faces."""
    distances = np.array([face.distance for face in faces if face.distance is not None])
    results = Counter(face.result for face in faces)
    failed = (results[name] for name in ("no_face", "tilted_face", "another face"))
    near = f"{(distances < 0.4).mean():.1%}" if distances.size else ""
    by = ", ".join(f"{name} {results[name]}" for name in sorted(results) if "@" in name)
    counts = (*failed, len(distances), near, int((distances > 0.6).sum()))
    largest = f"{distances.max():.2f}" if distances.size else ""
    return f"| {name} | {' | '.join(map(str, counts))} | {largest} | {by} |"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="a tar of photos")
    parser.add_argument("--faces", type=int, default=60, help="so many of the photos")
    parser.add_argument("--step", type=int, default=15, help="degrees")
    parser.add_argument("settings", nargs="*", help="such as landmarks=5")
    arguments = parser.parse_args()
    images = list(photos_of(arguments.photos, arguments.faces))
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(Path(folder), arguments.settings)
        known = [
            (image, face)
            for image, face in zip(images, encode(engine, images), strict=True)
            if not isinstance(face, Failure)
        ]
        print(f"{len(known)} of {len(images)} photos have a face as they are\n")
        print(
            "| angle | no_face | tilted_face | another face | found | < 0.4 | > 0.6 | farthest",
            end="",
        )
        print(" | by |\n|--:|--:|--:|--:|--:|--:|--:|--:|---|")
        all_faces: list[Turned] = []
        for angle in range(0, 360, arguments.step):
            faces = list(compare(engine, known, angle))
            print(row_of(str(angle), faces), flush=True)
            all_faces += faces
        print(row_of("all", all_faces))


if __name__ == "__main__":
    main()
