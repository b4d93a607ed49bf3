"""Measure the accuracy of what a GPU encodes on pairs of photos, as `lfw_accuracy` does.

    python -m benchmarks.gpu_accuracy pairs.txt lfw.tgz

A Markdown table has a row for the processor and a row for each precision of the GPU, with the same
detectors: accuracy, its standard error, the area under the ROC curve, failed photos, photos that
the GPU left to the processor, photos with another face than on the processor, and how far the
embeddings of the same faces are apart (at most and in the median). Below the table are the photos
that do not fail in every row.

Without a GPU, PyTorch computes on one processor what it computes on a GPU. Then Pillow decodes.
"""

import argparse
import io
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu import (
    GPU_MB,
    PHOTOS,
    PRECISIONS,
    difference,
    exported,
    read_photos,
    settings_of,
)
from meanface.engine.engine import Engine
from meanface.engine.gpu.engine import GpuEngine
from meanface.engine.gpu.isolate import encode_on_gpu
from meanface.engine.outcome import Failure, Outcome
from meanface.engine.settings import EngineSettings, has_gpu
from meanface.results.verification import (
    Pair,
    Verification,
    pair_distances,
    photo_name,
    read_pairs,
    verify,
)
from meanface.shards.manifest import Photo

COLUMNS = ("engine", "accuracy", "standard error", "area", "failed", "left", "others", "apart", "s")
TOGETHER = 16  # photos


@dataclass(frozen=True)
class Encoded:
    """The outcomes of photos, and how many a GPU left to the processor (None: not known)."""

    outcomes: list[Outcome]
    left: int | None = None


def on_processor(
    settings: EngineSettings, models: Mapping[str, Path], photos: Sequence[Photo]
) -> Encoded:
    """Encode photos as a processor does."""
    engine = Engine(settings.on_processor(), models)
    return Encoded([one for some in _in_parts(photos) for one in engine.encode(some)])


def as_on_gpu(
    settings: EngineSettings, models: Mapping[str, Path], photos: Sequence[Photo]
) -> Encoded:
    """Encode JPEGs on a processor as a GPU does; what a GPU leaves is encoded as ever."""
    torch.set_num_threads(1)
    gpu, processor = GpuEngine(settings, models, "cpu"), Engine(settings.on_processor(), models)
    outcomes: list[Outcome] = []
    left = 0
    for some in _in_parts(photos):
        pixels = [np.array(Image.open(io.BytesIO(one.data or b"")).convert("RGB")) for one in some]
        for photo, outcome in zip(
            some, gpu.outcomes([torch.from_numpy(one) for one in pixels]), strict=True
        ):
            left += outcome is None
            outcomes += processor.encode([photo]) if outcome is None else [outcome]
    return Encoded(outcomes, left)


def on_gpu(
    settings: EngineSettings, models: Mapping[str, Path], photos: Sequence[Photo]
) -> Encoded:
    """Encode photos on the GPU and, what it leaves, on the processor."""
    batches = encode_on_gpu(
        settings,
        models,
        _in_parts(photos),
        seconds=600,
        gpu_mb=GPU_MB,
        processes=os.cpu_count() or 1,
    )
    return Encoded([one for some in batches for one in some])


def _in_parts(photos: Sequence[Photo]) -> Iterator[Sequence[Photo]]:
    return (photos[start : start + TOGETHER] for start in range(0, len(photos), TOGETHER))


def accuracy_of(
    pairs: Sequence[Pair], photos: Sequence[Photo], outcomes: Sequence[Outcome]
) -> Verification:
    """Score pairs of photos that have one face each, or failed."""
    paths = [photo.path for photo in photos]
    failed = failures(photos, outcomes)
    return verify(
        pairs,
        pair_distances(
            pairs,
            photos=[path for path in paths if path not in failed],
            failed=sorted(failed),
            embeddings=np.stack(
                [one[0].embedding for one in outcomes if not isinstance(one, Failure)]
            ),
        ),
    )


def failures(photos: Sequence[Photo], outcomes: Sequence[Outcome]) -> set[str]:
    """Give the paths of the photos that failed."""
    both = zip(photos, outcomes, strict=True)
    return {photo.path for photo, outcome in both if isinstance(outcome, Failure)}


def first_pairs(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Give the first pairs of each fold, `count` of the same person and of different persons."""
    seen: dict[tuple[int, bool], int] = {}
    kept = []
    for pair in pairs:
        kind = pair.fold, pair.same
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= count:
            kept.append(pair)
    return kept


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path, help="a file in the format of LFW's pairs.txt")
    parser.add_argument("archive", type=Path, nargs="?", default=PHOTOS, help="a tar of photos")
    parser.add_argument("--models", type=Path, help="a folder of exported models")
    parser.add_argument("--precisions", nargs="*", default=[*PRECISIONS], choices=PRECISIONS)
    parser.add_argument("--pairs-per-class", type=int, default=10**9, metavar="N")
    given = parser.parse_args()
    pairs = first_pairs(read_pairs(given.pairs), given.pairs_per_class)
    named = {name for pair in pairs for name in (pair.first, pair.second)}
    photos = [one for one in read_photos(given.archive) if photo_name(one.path) in named]
    way, where = (on_gpu, "GPU") if has_gpu() else (as_on_gpu, "as on a GPU")
    rows = [("processor", on_processor, settings_of("float32"))]
    rows += [(f"{where}, {one}", way, settings_of(one)) for one in given.precisions]
    print(f"{len(photos)} photos, {len(pairs)} pairs\n")
    print("| " + " | ".join(COLUMNS) + " |\n|---|" + "--:|" * (len(COLUMNS) - 1), flush=True)
    failed: dict[str, set[str]] = {}
    expected: list[Outcome] = []
    with exported(given.models) as models:
        for name, encode, settings in rows:
            began = time.perf_counter()
            encoded = encode(settings, models, photos)
            seconds = time.perf_counter() - began
            expected = expected or encoded.outcomes
            others, apart = difference(encoded.outcomes, expected)
            score = accuracy_of(pairs, photos, encoded.outcomes)
            failed[name] = failures(photos, encoded.outcomes)
            cells = (
                name,
                f"{score.accuracy:.4f}",
                f"{score.standard_error:.4f}",
                f"{score.auc:.4f}",
                str(len(failed[name])),
                "" if encoded.left is None else str(encoded.left),
                str(others),
                f"{max(apart, default=0.0):.1e}, {np.median(apart or [0.0]):.1e}",
                f"{seconds:.0f}",
            )
            print("| " + " | ".join(cells) + " |", flush=True)
    everywhere = set.intersection(*failed.values())
    for name, paths in failed.items():
        print(f"\nfailed, {name}, not in every row: {', '.join(sorted(paths - everywhere)) or '-'}")


if __name__ == "__main__":
    main()
