"""Measure how far the mean over N jittered crops lies from the mean over all of them.

Prints a Markdown table: for each N, the distance expected (L2) without and with mirror images. The
standard deviation of the crops' embeddings, over the square root of N, is this distance.
"""

import argparse
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import yaml

from meanface.engine.chips import open_cut
from meanface.engine.decode import decode
from meanface.engine.encoder import OnnxEncoder
from meanface.engine.export import export
from meanface.engine.jitter import jittered
from meanface.engine.ladder import Ladder
from meanface.engine.session import open_session
from meanface.engine.settings import EngineSettings

ROOT = Path(__file__).parents[1]
CROPS = 400  # of each face
NUMBERS = (1, 4, 8, 16, 32, 64, 100)


def measure(archive: Path, count: int) -> None:
    """Print the table for `count` photos of an archive, spread evenly."""
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.name.lower().endswith(".jpg")]
        chosen = files[:: max(1, len(files) // count)][:count]
        data = [content.read() for file in chosen if (content := tar.extractfile(file))]
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    settings = EngineSettings.of(config | {"device": "cpu"})
    with tempfile.TemporaryDirectory() as folder:
        models = {Path(name).stem: Path(folder, name) for name in settings.models}
        for name, model in models.items():
            export(name, model)
        ladder, cut = Ladder(settings, models), open_cut(settings, models)
        encoder = OnnxEncoder(open_session(models["encoder"]))
    photos = [decode(one, "full", 10**9) for one in data]
    found = [
        (pixels, *next(iter(faces.items())))
        for pixels in photos
        for faces in ladder([pixels])
        if faces
    ]
    variances = []
    for number, chip in enumerate(filter(None, cut(found))):
        crops = np.stack(list(jittered(chip.pixels, str(number), CROPS + 1))[1:])
        embeddings, mirrored = encoder(crops), encoder(np.ascontiguousarray(crops[:, :, ::-1]))
        pairs = embeddings, (embeddings + mirrored) / 2
        variances.append([one.var(axis=0, ddof=1).sum() for one in pairs])
    print("| crops | without mirror images | with |\n|--:|--:|--:|")
    for number in NUMBERS:
        alone, both = np.sqrt(np.divide(variances, number)).mean(axis=0)
        print(f"| {number} | {alone:.3f} | {both:.3f} |")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help="a tar of photos")
    parser.add_argument("--photos", type=int, default=10)
    arguments = parser.parse_args()
    measure(arguments.archive, arguments.photos)


if __name__ == "__main__":
    main()
