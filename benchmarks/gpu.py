"""Measure encoding with `device: cuda` and with `device: cpu`, on the same photos.

Prints a Markdown table:

* photos per second, from the end of the first batch to the end of the last;
* seconds until the end of the first batch;
* how busy the GPU was, and how much of its memory was used;
* the number of photos whose faces differ from the CPU's, and the largest difference of embeddings.

Batches that are under way when the first batch ends count as encoded later. So with few photos,
many processes look too fast.
"""

import argparse
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from meanface.engine.export import export
from meanface.engine.isolate import encode_isolated
from meanface.engine.outcome import EncodedFace, Failure, Outcome
from meanface.engine.settings import EngineSettings, versions
from meanface.shards.manifest import Photo

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared/lfw/lfw-subset.tgz"
LADDERS = (("hog@0", "hog@1", "cnn@0", "cnn@1"), ("cnn@0", "cnn@1"))
SMI = shutil.which("nvidia-smi") or ""
QUERY = "utilization.gpu,memory.used"

COLUMNS = (
    "detectors",
    "device",
    "processes",
    "batch",
    "photos per s",
    "start s",
    "GPU busy",
    "GPU MB",
    "other faces",
    "embeddings within",
)


@dataclass(frozen=True)
class Measured:
    """What encoding took. `busy` (per cent of time) and `used` (MB) of the GPU are medians."""

    speed: float  # photos per second
    start: float  # seconds
    busy: float
    used: float
    outcomes: list[Outcome]


def read_photos(archive: Path) -> list[Photo]:
    """Read the photos of a tar into memory."""
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.name.lower().endswith(".jpg")]
        data = [content.read() for file in files if (content := tar.extractfile(file))]
    return [
        Photo(file.name, len(one), file.name, one) for file, one in zip(files, data, strict=True)
    ]


@contextmanager
def watched_gpu() -> Iterator[Callable[[], tuple[float, float]]]:
    """Sample the GPU. Give a function that ends this, and gives the medians of load and memory."""
    command = [SMI, "-i", "0", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    command += ["-lms", "200"]
    with tempfile.TemporaryFile("w+") as samples, subprocess.Popen(command, stdout=samples) as smi:

        def medians() -> tuple[float, float]:
            smi.terminate()
            smi.wait()
            samples.seek(0)
            lines = samples.read().splitlines()
            rows = [[float(value) for value in line.split(",")] for line in lines[:-1]]
            busy, used = np.median(rows[len(rows) // 4 :], axis=0).tolist()  # without the start
            return busy, used

        try:
            yield medians
        finally:
            smi.terminate()


def measure(
    settings: EngineSettings,
    models: Mapping[str, Path],
    photos: Sequence[Photo],
    *,
    batch: int,
    processes: int,
) -> Measured:
    """Encode all photos, `batch` at a time in each of `processes`."""
    batches = [photos[start : start + batch] for start in range(0, len(photos), batch)]
    with watched_gpu() as medians:
        began = time.perf_counter()
        results = encode_isolated(settings, models, batches, seconds=600, processes=processes)
        outcomes = list(next(results))
        first = time.perf_counter()
        for some in results:
            outcomes += some
        seconds = time.perf_counter() - first
        busy, used = medians()
    return Measured((len(photos) - batch) / seconds, first - began, busy, used, outcomes)


def difference(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> tuple[int, float]:
    """Give the number of photos with other faces or failures, and how far embeddings are apart."""
    others, furthest = 0, 0.0
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, Failure) or isinstance(other, Failure):
            others += one != other
        elif _boxes(one) != _boxes(other):
            others += 1
        else:
            for a, b in zip(one, other, strict=True):
                furthest = max(furthest, float(np.abs(a.embedding - b.embedding).max()))
    return others, furthest


def _boxes(faces: Sequence[EncodedFace]) -> list[tuple[object, ...]]:
    return [(one.detector, one.faces, replace(one.face, score=0.0)) for one in faces]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?", default=PHOTOS, help="a tar of photos")
    parser.add_argument("--times", type=int, default=10, help="encode each photo so often")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, os.cpu_count()])
    given = parser.parse_args()
    if not SMI:
        parser.error("there is no nvidia-smi here, and so no GPU to measure")
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    defaults = EngineSettings.of(config | {"device": "cpu"})
    photos = read_photos(given.archive)
    name = subprocess.check_output([SMI, "-L"], text=True).split(" (")[0]
    print(f"{name}, {os.cpu_count()} cores, {len(photos)} photos {given.times} times, {versions()}")
    print("\n| " + " | ".join(COLUMNS) + " |\n|---|---|" + "--:|" * (len(COLUMNS) - 2), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        files = {*defaults.models, *replace(defaults, device="cuda").models}
        models = {file.split(".")[0]: Path(folder, file) for file in files}
        for model, target in models.items():
            export(model, target)
        for ladder in LADDERS:
            reference = replace(defaults, detectors=ladder)
            ways = [("cpu", given.processes[-1], given.batch[0])] + [
                ("cuda", processes, batch) for processes in given.processes for batch in given.batch
            ]
            expected: list[Outcome] = []
            for device, processes, batch in ways:
                settings = replace(reference, device=device)
                many = photos * (given.times if processes > 1 else 1)
                done = measure(settings, models, many, batch=batch, processes=processes)
                expected = expected or done.outcomes[: len(photos)]
                others, furthest = difference(done.outcomes[: len(photos)], expected)
                row = (
                    ", ".join(ladder),
                    device,
                    processes,
                    batch,
                    f"{done.speed:.0f}",
                    f"{done.start:.1f}",
                    f"{done.busy:.0f} %",
                    f"{done.used:.0f}",
                    others,
                    f"{furthest:.1e}",
                )
                print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
