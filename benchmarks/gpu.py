"""Measure encoding on a GPU, from the bytes of photos to embeddings.

Three sets are made from the photos of an archive: the photos as they are, the same in 50 sizes, and
photos of 12 megapixels. A first Markdown table has for each set and precision the microseconds per
photo of each stage alone, and the photos that the GPU left to the processor. A second table has:

* photos per second, from the end of the GPU's first batch to the last outcome;
* seconds until the engine is open and has encoded its first batch;
* how busy the GPU was, and how much of its memory was used (medians);
* how many photos have other faces than on the processor, and how far embeddings are apart (at most
  and in the median).
"""

import argparse
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from meanface.engine.gpu.engine import GpuEngine, limit_memory, parts
from meanface.engine.gpu.isolate import encode_on_gpu
from meanface.engine.isolate import encode_isolated
from meanface.engine.outcome import EncodedFace, Failure, Outcome
from meanface.engine.settings import EngineSettings, versions
from meanface.shards.manifest import Photo

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared/lfw/lfw-subset.tgz"
SMI = shutil.which("nvidia-smi") or ""
QUERY = "utilization.gpu,memory.used"
SIZES, LARGE = 50, (4000, 3000)
SETS = AS_THEY_ARE, MIXED, TWELVE = "as they are", "50 sizes", "12 megapixels"
COLUMNS = ("photos", "precision", "per s", "start s", "busy", "MB", "others", "apart")
PRECISIONS = "float32", "float16"
STAGES = "decode", "detect", "landmarks", "upright", "chips", "encode"
GPU_MB = 8000
PAUSE = 0.005  # seconds


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
    return [_photo(file.name, one) for file, one in zip(files, data, strict=True)]


def _photo(name: str, data: bytes) -> Photo:
    return Photo(name, len(data), name, data)


def resized(photo: Photo, width: int, height: int) -> Photo:
    """Give the photo as a JPEG of another size."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(photo.data)) as image:
        image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(
            stream, "JPEG", quality=90
        )
    return _photo(f"{width}x{height}/{photo.path}", stream.getvalue())


def in_one_of_sizes(photo: Photo, number: int) -> Photo:
    """Give the photo as a JPEG in size `number` of SIZES: enlarged, and cut off below."""
    side = 200 + 7 * (number % SIZES)
    stream = io.BytesIO()
    with Image.open(io.BytesIO(photo.data)) as image:
        whole = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        whole.crop((0, 0, side, side - number % SIZES)).save(stream, "JPEG", quality=90)
    return _photo(f"{side}/{photo.path}", stream.getvalue())


def photos_of(kind: str, photos: Sequence[Photo], times: int) -> tuple[list[Photo], list[Photo]]:
    """Give the different photos of one of SETS, and as many as are encoded."""
    if kind == AS_THEY_ARE:
        return list(photos), list(photos) * times
    if kind == MIXED:
        mixed = [in_one_of_sizes(one, number) for number, one in enumerate(photos[:800])]
        return mixed, mixed * max(1, times // 2)
    large = [resized(photo, *LARGE) for photo in photos[:24]]
    return large, large * max(1, 3 * times)


def settings_of(precision: str) -> EngineSettings:
    """Give the default settings with what a GPU needs."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config |= {"detectors": ["cnn@0", "cnn@1"], "device": "cuda", "precision": precision}
    return EngineSettings.of(config)


@contextmanager
def exported(folder: Path | None) -> Iterator[dict[str, Path]]:
    """Give the models of `settings_of` by name. Those that `folder` has not are exported."""
    with tempfile.TemporaryDirectory() as temporary:
        files = settings_of("float32").models
        models = {Path(file).stem: Path(folder or temporary, file) for file in files}
        for model, target in models.items():
            if not target.exists():
                from meanface.engine.export import export  # needs the packages with the weights

                export(model, target)
        yield models


@contextmanager
def watched_gpu() -> Iterator[Callable[[], tuple[float, float]]]:
    """Sample the GPU. Give a function that ends this, and gives the medians of load and memory."""
    command = [SMI, "-i", "0", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    command += ["-lms", "100"]
    with tempfile.TemporaryFile("w+") as samples, subprocess.Popen(command, stdout=samples) as smi:

        def medians() -> tuple[float, float]:
            smi.terminate()
            smi.wait()
            samples.seek(0)
            lines = samples.read().splitlines()
            rows = [[float(value) for value in line.split(",")] for line in lines[:-1]]
            busy, used = np.median(rows or [[0.0, 0.0]], axis=0).tolist()
            return busy, used

        try:
            yield medians
        finally:
            smi.terminate()


def measure(
    settings: EngineSettings, models: Mapping[str, Path], photos: Sequence[Photo]
) -> Measured:
    """Encode all photos. The speed counts from the second batch of the GPU on."""
    batches = [photos[start : start + 16] for start in range(0, len(photos), 16)]
    with watched_gpu() as medians:
        began = time.perf_counter()
        outcomes: list[Outcome] = []
        marks: list[tuple[int, float]] = []
        for batch in encode_on_gpu(
            settings, models, batches, seconds=60, gpu_mb=GPU_MB, processes=os.cpu_count() or 1
        ):
            outcomes += batch
            marks.append((len(outcomes), time.perf_counter()))
        busy, used = medians()
    # Batches of the GPU are yielded at once: the first step in time ends the first of them.
    first, start = next(
        (before for before, after in pairwise(marks) if after[1] - before[1] > PAUSE), (0, began)
    )
    seconds = marks[-1][1] - start
    return Measured((len(photos) - first) / seconds, start - began, busy, used, outcomes)


def difference(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> tuple[int, list[float]]:
    """Give the number of photos with other faces or failures, and how far embeddings are apart."""
    others, apart = 0, []
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, Failure) or isinstance(other, Failure):
            others += one != other
        elif _boxes(one) != _boxes(other):
            others += 1
        else:
            apart += [
                float(np.linalg.norm(a.embedding - b.embedding))
                for a, b in zip(one, other, strict=True)
            ]
    return others, apart


def _boxes(faces: Sequence[EncodedFace]) -> list[tuple[object, ...]]:
    return [(one.detector, one.faces, replace(one.face, score=0.0)) for one in faces]


def stages(
    settings: EngineSettings, models: Mapping[str, Path], sets: Mapping[str, Sequence[Photo]]
) -> None:
    """Print a row for each set of photos: the time of each stage, after two passes to warm up."""
    engine = GpuEngine(settings, models)
    times: dict[str, float] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        torch.cuda.synchronize()
        times[stage] += time.perf_counter() - began

    engine.stage = timed
    for kind, photos in sets.items():
        for _ in range(3):  # the first time, algorithms are chosen
            times.update(dict.fromkeys(STAGES, 0.0))
            left = 0
            with torch.inference_mode():
                for part in parts(photos, settings.max_pixels):
                    with timed("decode"):
                        decoded = engine.decode(part)
                    left += engine.outcomes(decoded).count(None)
        cells = [f"{kind}, {len(photos)}", settings.precision]
        cells += [f"{times[one] / len(photos) * 1e6:.0f}" for one in STAGES]
        print(f"| {' | '.join(cells)} | {left} |", flush=True)


def _print_heading(columns: Sequence[str]) -> None:
    print(f"\n| {' | '.join(columns)} |\n|---|---|{'--:|' * (len(columns) - 2)}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?", default=PHOTOS, help="a tar of photos")
    parser.add_argument("--times", type=int, default=10, help="encode each photo so often")
    parser.add_argument("--models", type=Path, help="a folder of exported models")
    parser.add_argument("--check", type=int, default=200, help="compare so many with the processor")
    parser.add_argument("--sets", nargs="+", default=[*SETS], choices=SETS, help="measure these")
    given = parser.parse_args()
    if not SMI:
        parser.error("there is no nvidia-smi here, and so no GPU to measure")
    by_precision = [settings_of(one) for one in PRECISIONS]
    on_cpu = by_precision[0].on_processor()
    photos = read_photos(given.archive)
    name = subprocess.check_output([SMI, "-L"], text=True).split(" (")[0]
    print(f"{name}, {os.cpu_count()} cores, {len(photos)} photos, {versions('cuda')}", flush=True)
    sets = {kind: photos_of(kind, photos, given.times) for kind in given.sets}
    with exported(given.models) as models:
        limit_memory(GPU_MB)
        _print_heading(("photos", "precision", *STAGES, "left"))
        for settings in by_precision:
            stages(settings, models, {kind: some[:1024] for kind, (some, _) in sets.items()})
        torch.cuda.empty_cache()
        _print_heading(COLUMNS)
        for kind, (different, many) in sets.items():
            checked = different[: given.check if kind != TWELVE else 8]
            expected = [
                one
                for batch in encode_isolated(
                    on_cpu,
                    models,
                    [[one] for one in checked],
                    seconds=600,
                    processes=os.cpu_count() or 1,
                )
                for one in batch
            ]
            for settings in by_precision:
                done = measure(settings, models, many)
                others, apart = difference(done.outcomes[: len(checked)], expected)
                row = (
                    f"{kind}, {len(many)}",
                    settings.precision,
                    f"{done.speed:.0f}",
                    f"{done.start:.1f}",
                    f"{done.busy:.0f} %",
                    f"{done.used:.0f}",
                    f"{others} of {len(checked)}",
                    f"{max(apart, default=0.0):.1e}, {np.median(apart or [0.0]):.1e}",
                )
                print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
