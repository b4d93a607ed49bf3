"""Measure the stages that join the tables of all shards, on sets of any number of photos.

This process writes what the jobs of `shard` and `encode` would write, without a photo: tables, and
embeddings of random numbers. Then the workflow runs `plan`, `merge` and `statistics` on these
files. Ten million photos take 20 GB of disk.

Prints a Markdown table per set, and writes the numbers as JSON.
"""

import argparse
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale import FEW, PER_PERSON, Run, make_archive, print_usage, run, stub_config
from meanface.engine.outcome import DIMENSIONS
from meanface.engine.settings import EngineSettings
from meanface.files.arrays import save_array
from meanface.files.digest import file_digest
from meanface.files.json_files import write_json
from meanface.files.schemas import CONTENTS, MANIFEST, OUTCOMES
from meanface.files.tables import write_table
from meanface.results.shard_report import ShardReport, write_report
from meanface.shards.layout import layout
from meanface.shards.plan import name_of, outcome_key

FOUND = (1, 0, 0, 7, 7, 1.0, "stub", 0.0, "", "")  # what an outcome says of every face


def write_shards(results: Path, count: int, shards: int) -> None:
    """Write what `shard` and `encode` write of `count` photos, five per person, in `shards`.

    A shard has every `shards`-th photo, so that each person's photos are in several shards.
    """
    for name in ("shards", "contents", "parts", "encoded"):
        (results / name).mkdir()
    fingerprint = EngineSettings.of(stub_config()).fingerprint()
    parts, in_part = layout(shards)
    for part in range(parts):
        stem = f"photos-{part:0{len(str(parts - 1))}}"
        contents: list[tuple[str, str]] = []
        for number in range(in_part):
            shard = f"{stem}{number:03}"
            first = part * in_part + number
            photos = [
                f"people/person_{photo // PER_PERSON:08d}/photo_{photo:09d}.bmp"
                for photo in range(first, count, parts * in_part)
            ]
            theirs = _write_shard(results, shard, photos, fingerprint)
            contents.extend((shard, content) for content in theirs)
        write_table(results / f"contents/{stem}.csv", CONTENTS, contents)
    counts = "shards/photos-0.json" if parts == 1 else "parts/photos.json"
    write_json(results / counts, {"photos": count})


def _write_shard(results: Path, shard: str, photos: Sequence[str], fingerprint: str) -> list[str]:
    """Write manifest, outcomes and embeddings of a shard. Give its contents."""
    sha256 = [hashlib.sha256(photo.encode()).hexdigest() for photo in photos]
    rows = zip(photos, [246] * len(photos), sha256, strict=True)
    write_table(results / f"shards/{shard}.csv", MANIFEST, rows)
    (results / f"shards/{shard}.tar").touch()  # no stage that is measured reads the photos
    contents = sorted(sha256)
    target = f"{results}/encoded/{shard}.{outcome_key(fingerprint, name_of(contents))}"
    made = {"embeddings": Path(f"{target}.npy"), "outcomes": Path(f"{target}.csv")}
    bits = np.random.default_rng(int(name_of(contents)[:16], 16))
    numbers = bits.integers(-(2**31), 2**31, (len(contents), DIMENSIONS), np.int32)
    save_array(made["embeddings"], numbers.astype(np.float32) / np.float32(2**33))
    write_table(made["outcomes"], OUTCOMES, ((content, *FOUND) for content in contents))
    report = ShardReport(
        contents=len(contents),
        encoded=len(contents),
        failed=0,
        faces=len(contents),
        reused=0,
        newly_encoded=len(contents),
        seconds_encoding=1.0,
        seconds=1.0,
        run="",
        cache_trouble=None,
        sha256={name: file_digest(path) for name, path in made.items()},
        fingerprint=fingerprint,
    )
    write_report(Path(f"{target}.json"), report)
    return contents


def measure(
    work: Path, sizes: Sequence[int], per_shard: int, settings: Sequence[str]
) -> dict[str, Any]:
    """Measure the stages on sets of each size. A set is removed when it has been measured."""
    report: dict[str, Any] = {}
    start: Run | None = None
    archive = work / "photos.tar"  # read by no stage but acquire
    make_archive(archive, 1)
    for count in (FEW, *sizes):
        folder, shards = work / str(count), max(1, count // per_shard)
        run(folder, archive, shards, "results/sources/photos.json")
        write_shards(folder / "results", count, shards)
        usage = run(folder, archive, shards, settings=settings)
        start = start or usage
        print_usage(f"{count:,} photos, {shards} shards", usage, count, start)
        report[str(count)] = {"shards": shards, **asdict(usage)}
        shutil.rmtree(folder)
    return report


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--per-shard", type=int, default=5000, help="photos in a shard")
    parser.add_argument("--config", nargs="*", default=[], help="settings of the workflow")
    parser.add_argument("--work", type=Path, help="a folder on a disk with room")
    parser.add_argument("--json", type=Path, default=Path("joins.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        report = measure(Path(work).resolve(), given.photos, given.per_shard, given.config)
    write_json(given.json, report)


if __name__ == "__main__":
    main()
