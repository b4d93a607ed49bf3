"""Measure the workflow itself on synthetic sets of many tiny photos, with a stub for an engine.

`growth` runs the whole workflow on sets of growing size: does the cost per photo stay the same?
`shards` splits one set into very many shards: how long do planning and merging take? A single
process writes the files of all encode jobs, with the function that the jobs call.

Both print Markdown tables with a row per stage, and write the numbers as JSON.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from meanface.engine.settings import EngineSettings
from meanface.engine.stub import StubEngine
from meanface.files.digest import file_digest
from meanface.files.json_files import read_json, write_json
from meanface.results.cache import Cache
from meanface.results.encode import encode_shard
from meanface.results.shard_report import ShardReport, write_report
from meanface.shards.plan import contents_of, name_of, outcome_key

ROOT = Path(__file__).parents[1]
STAGES = ("acquire", "divide", "shard", "plan", "encode", "merge", "write_statistics", "snakemake")
FEW = 64  # photos in the run that measures the start-up time
PER_PERSON = 5  # photos
READY = "Select jobs to execute"  # Snakemake prints this when planning has ended
STARTS = 5  # repetitions: the speed of a shared machine varies

# Snakemake samples a job's memory, at last twice a minute, and misses the peak. So each process
# writes what the kernel counted when it ends: for itself and for its children.
NOTE_USAGE = """
import atexit, json, os, resource, sys

def number(file, name):  # of bytes or kB
    with open(f"/proc/self/{file}") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

def note():
    usage = [resource.getrusage(resource.RUSAGE_SELF)]
    # Not RUSAGE_SELF, in which the peak of the process is left that started this one.
    peaks = [number("status", "VmHWM")]
    if is_job:  # those of Snakemake itself are the jobs
        usage.append(resource.getrusage(resource.RUSAGE_CHILDREN))
        peaks.append(usage[1].ru_maxrss)
    content = {
        "stage": os.path.basename(sys.argv[0]).split(".")[1] if is_job else "snakemake",
        "cpu": sum(one.ru_utime + one.ru_stime for one in usage),
        "rss": max(peaks) * 1024,
        "written": number("io", "write_bytes"),
    }
    with open(f"{os.environ['MEANFACE_USAGE']}/{os.getpid()}.json", "w") as stream:
        json.dump(content, stream)

is_job = ".snakemake" in sys.orig_argv[1]
if is_job or "snakemake" in sys.orig_argv:
    atexit.register(note)
"""


@dataclass(frozen=True)
class Usage:
    """What the jobs of a stage took in total, and the largest memory of a single job.

    `rss` is the peak of resident memory as the kernel counts it, pages of mapped files included.
    `written` counts the bytes given to the file system, in whole pages of 4 KiB, temporary files
    included.
    """

    jobs: int
    wall: float  # seconds
    cpu: float  # seconds
    rss: int  # bytes
    written: int  # bytes


@dataclass(frozen=True)
class Run:
    """One run of Snakemake: seconds of wall clock, and the usage by stage."""

    wall: float
    stages: dict[str, Usage]


def photos(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield different photos of 8x8 pixels (BMP, 246 bytes) with their paths, five per person."""
    blank = io.BytesIO()
    Image.new("RGB", (8, 8)).save(blank, "BMP")
    header, pixels = blank.getvalue()[:-192], 192
    for number in range(count):
        path = f"people/person_{number // PER_PERSON:07d}/photo_{number:08d}.bmp"
        yield path, header + hashlib.shake_128(path.encode()).digest(pixels)


def make_archive(target: Path, count: int) -> None:
    """Write a tar of `count` photos, unless the tar exists."""
    if target.exists():
        return
    part = target.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in photos(count):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
    part.replace(target)


def command(
    folder: Path, archive: Path, shards: int, *arguments: str, settings: Sequence[str] = ()
) -> list[str]:
    """Give the command that runs the workflow in `folder` with the stub as its engine."""
    start = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    start += ["--snakefile", str(ROOT / "Snakefile"), *arguments]
    return [*start, "--config", f"photos={archive}", f"shards={shards}", "encoder=stub", *settings]


def run(
    folder: Path, archive: Path, shards: int, *arguments: str, settings: Sequence[str] = ()
) -> Run:
    """Run the workflow. Give what the run took."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as notes, (folder / "output.log").open("a") as output:
        Path(notes, "sitecustomize.py").write_text(NOTE_USAGE)
        began = time.perf_counter()
        subprocess.run(
            command(folder, archive, shards, *arguments, settings=settings),
            env=os.environ | {"PYTHONPATH": f"{notes}:{ROOT}", "MEANFACE_USAGE": notes},
            stdout=output,
            stderr=output,
            check=True,
        )
        wall = time.perf_counter() - began
        noted = [json.loads(note.read_text()) for note in Path(notes).glob("*.json")]
    times = dict(benchmarked(folder / "results/benchmarks"))
    stages = {}
    for stage in STAGES:
        ours = [note for note in noted if note["stage"] == stage]
        if ours:
            stages[stage] = Usage(
                jobs=len(ours),
                wall=wall if stage == "snakemake" else times[stage],
                cpu=sum(note["cpu"] for note in ours),
                rss=max(note["rss"] for note in ours),
                written=sum(note["written"] for note in ours),
            )
    return Run(wall, stages)


def moments(folder: Path, archive: Path, shards: int, *marks: str) -> list[float]:
    """Run the workflow until it has printed all `marks`, in this order; give the seconds of each.

    Then all processes are killed.
    """
    folder.mkdir(exist_ok=True)
    remaining, seconds = list(marks), []
    began = time.perf_counter()
    with subprocess.Popen(
        command(folder, archive, shards),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        for line in running.stderr or ():
            if remaining[0] in line:
                seconds.append(time.perf_counter() - began)
                del remaining[0]
            if not remaining:
                break
        else:
            raise RuntimeError(f"{folder}: no {remaining[0]!r} in what Snakemake prints")
        os.killpg(running.pid, signal.SIGKILL)
    shutil.rmtree(folder / ".snakemake/locks")
    return seconds


def benchmarked(folder: Path) -> Iterator[tuple[str, float]]:
    """Give the seconds of each stage's jobs, from Snakemake's benchmark files."""
    for stage in STAGES[:-1]:
        rule = stage.removeprefix("write_")
        files = [folder / f"{rule}.tsv", *(folder / rule).glob("*.tsv")]
        yield (
            stage,
            sum(
                float(file.read_text().splitlines()[1].split("\t")[0])
                for file in files
                if file.exists()
            ),
        )


def kept(results: Path) -> dict[str, int]:
    """Give the bytes of the files that a run leaves, by kind."""
    final = [path for path in results.glob("*") if path.is_file()]
    folders = ("shards", "contents", "plan", "encoded", "cache")
    sizes = {name: size_of((results / name).rglob("*")) for name in folders}
    sizes |= {path.name: path.stat().st_size for path in sorted(final)}
    return sizes | {
        "logs": size_of(p for name in ("logs", "benchmarks") for p in (results / name).rglob("*"))
    }


def size_of(paths: Iterable[Path]) -> int:
    """Give the total bytes of files."""
    return sum(path.stat().st_size for path in paths if path.is_file())


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table. The first column is aligned to the left."""
    print("\n| " + " | ".join(header) + " |\n|---|" + "--:|" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def print_usage(title: str, usage: Run, count: int, start: Run | None = None) -> None:
    """Print what each stage took. `start`: the time of a run on FEW photos."""
    print(f"\n{title}: {usage.wall:.1f} s")
    rows = []
    for stage, used in usage.stages.items():
        first = start.stages.get(stage) if start else None  # there is nothing to divide
        own = used.cpu - first.cpu / first.jobs * used.jobs if first else used.cpu
        rows.append(
            (
                stage.removeprefix("write_"),
                used.jobs,
                f"{used.wall:.1f}",
                f"{used.cpu:.1f}",
                f"{1e6 * own / count:.1f}",
                f"{used.rss / 1e6:.0f}",
                f"{used.written / count:.0f}",
            )
        )
    columns = ("stage", "jobs", "wall s", "CPU s", "CPU µs/photo", "peak MB", "written B/photo")
    table(columns, rows)


def measure_growth(work: Path, sizes: Sequence[int], per_shard: int) -> dict[str, Any]:
    """Run the workflow on sets of each size, in shards of `per_shard` photos."""
    report: dict[str, Any] = {}
    start: Run | None = None
    for count in (FEW, *sizes):
        archive, folder = work / f"{count}.tar", work / f"growth-{count}"
        make_archive(archive, count)
        shards = max(1, count // per_shard)
        whole = run(folder, archive, shards)
        again = run(folder, archive, shards)
        start = start or whole
        print_usage(f"{count:,} photos, {shards} shards", whole, count, start)
        print(f"\nthe same again, nothing to do: {again.wall:.1f} s")
        sizes_of = kept(folder / "results")
        table(("kept", "B/photo"), [(name, f"{n / count:.1f}") for name, n in sizes_of.items()])
        report[str(count)] = {
            "shards": shards,
            "whole": asdict(whole),
            "again": asdict(again),
            "kept": sizes_of,
        }
    return report


def measure_shards(work: Path, count: int, shards: int) -> dict[str, Any]:
    """Plan and merge many shards, without their encode jobs."""
    archive, folder = work / f"{count}.tar", work / f"shards-{count}-{shards}"
    make_archive(archive, count)
    runs = {"dry run before the first": run(folder, archive, shards, "--dry-run", "--quiet", "all")}
    begun, planned, again = moments(folder, archive, shards, READY, "Rule: plan)", READY)
    print(f"planning in a run: {begun:.1f} s, and {again - planned:.1f} s when the plan is made")
    starts = [moments(folder, archive, shards, READY)[0] for _ in range(STARTS)]
    print("a start with all to encode:", ", ".join(f"{seconds:.1f}" for seconds in starts), "s")
    runs["dry run with all to encode"] = run(folder, archive, shards, "--dry-run", "--quiet", "all")
    encode_here(folder)
    runs["merge and statistics"] = run(folder, archive, shards)
    runs["nothing to do"] = run(folder, archive, shards)
    for title, usage in runs.items():
        print_usage(title, usage, count)
    planning = {"run": [begun, again - planned], "starts": starts}
    return {title: asdict(usage) for title, usage in runs.items()} | {"planning": planning}


def stub_config() -> dict[str, Any]:
    """Give the default configuration with the stub as engine."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    return config | {"encoder": "stub"}


def encode_here(folder: Path) -> None:
    """Write the files of all encode jobs in this process."""
    config = stub_config()
    engine = StubEngine()
    fingerprint = EngineSettings.of(config).fingerprint()
    cache = Cache(str(folder / config["cache"]), fingerprint)
    results = folder / "results"
    (results / "encoded").mkdir(exist_ok=True)
    for tar in sorted((results / "shards").glob("*.tar")):
        planned = contents_of(tar.with_suffix(".csv"), results / "plan/duplicates.csv")
        target = f"{results}/encoded/{tar.stem}.{outcome_key(fingerprint, name_of(planned))}"
        made = {"embeddings": Path(f"{target}.npy"), "outcomes": Path(f"{target}.csv")}
        counts = encode_shard(
            lambda batches: map(engine.encode, batches),
            tar,
            tar.with_suffix(".csv"),
            planned,
            cache=cache,
            batch=config["batch"],
            embeddings=made["embeddings"],
            table=made["outcomes"],
        )
        sha256 = {name: file_digest(path) for name, path in made.items()}
        report = ShardReport(
            **asdict(counts),
            seconds=1.0,
            run="",
            cache_trouble=None,
            sha256=sha256,
            fingerprint=fingerprint,
        )
        write_report(Path(f"{target}.json"), report)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["growth", "shards"])
    parser.add_argument("--photos", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--per-shard", type=int, default=5000, help="photos in a shard (growth)")
    parser.add_argument("--shards", type=int, default=10_000, help="number of shards (shards)")
    parser.add_argument("--work", type=Path, help="a folder to keep; takes 5 kB per photo")
    parser.add_argument("--json", type=Path, default=Path("scale.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).resolve()
        work.mkdir(exist_ok=True)
        if given.what == "growth":
            report = measure_growth(work, given.photos, given.per_shard)
        else:
            report = measure_shards(work, given.photos[-1], given.shards)
    before = read_json(given.json) if given.json.exists() else {}
    write_json(given.json, before | {given.what: report})


if __name__ == "__main__":
    main()
