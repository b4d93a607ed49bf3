"""Measure the CPU time of photos of 12 megapixels, without a face and with one.

Prints both in seconds per photo, and their ratio, for the default settings on one core.
"""

import io
import tempfile
import time
from pathlib import Path
from typing import Any

import skimage.data
import yaml
from PIL import Image

from meanface.engine.engine import Engine
from meanface.engine.export import export
from meanface.engine.outcome import Failure
from meanface.engine.settings import EngineSettings
from meanface.shards.manifest import Photo

ROOT = Path(__file__).parents[1]
SIZE = 4000, 3000
ROUNDS = 5


def jpeg(image: Image.Image) -> Photo:
    """Give an image as the JPEG of a photo."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return Photo("photo.jpg", len(stream.getvalue()), "0" * 64, stream.getvalue())


def seconds(engine: Engine, photo: Photo, *, has_face: bool) -> float:
    """Give the CPU time to encode a photo."""
    began = time.process_time()
    [outcome] = engine.encode([photo])
    taken = time.process_time() - began
    if isinstance(outcome, Failure) == has_face:
        raise SystemExit(f"expected {'a' if has_face else 'no'} face: {outcome}")
    return taken


def main() -> None:
    """Measure, in turn: the speed of a machine varies."""
    portrait = Image.new("RGB", SIZE, (120, 130, 125))
    data: Any = skimage.data  # without types
    portrait.paste(Image.fromarray(data.astronaut()).resize((2400, 2400)), (800, 300))
    scenes = [data.coffee(), data.rocket(), data.retina()]
    empty = [jpeg(Image.fromarray(scene).convert("RGB").resize(SIZE)) for scene in scenes]
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    settings = EngineSettings.of(config | {"device": "cpu"})
    with tempfile.TemporaryDirectory() as folder:
        models = {Path(name).stem: Path(folder, name) for name in settings.models}
        for name, model in models.items():
            export(name, model)
        engine = Engine(settings, models)
        face, none = [], []
        for _ in range(ROUNDS):
            face.append(seconds(engine, jpeg(portrait), has_face=True))
            none += [seconds(engine, photo, has_face=False) for photo in empty]
    with_face, without = sum(face) / len(face), sum(none) / len(none)
    print(
        f"with a face {with_face:.2f} s, without {without:.2f} s: {without / with_face:.1f} times"
    )


if __name__ == "__main__":
    main()
