"""Compare meanface with face_recognition in a process pool, on the same photos and cores.

All ways run from start to finish, in turn, `--repeat` times. Figures are medians. Prints a table,
and writes the table, the numbers and a plot: comparison.md, comparison.json and comparison.png.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from meanface.shards.read import read_shard

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared/lfw/lfw-subset.tgz"
BASELINE = "face_recognition in a pool"


@dataclass(frozen=True)
class Measured:
    """One run of one way. Seconds; `worker_ms` is core time of the workers per photo."""

    way: str
    photos: int
    failed: int
    seconds: float
    worker_ms: float
    worker_mb: float | None


def run_pool(folder: Path, scratch: Path, cores: int) -> Measured:
    """Run face_recognition in a pool of `cores` processes. All its time counts as the workers'."""
    script = ROOT / "benchmarks/face_recognition_pool.py"
    seconds = _timed(
        [sys.executable, str(script), str(folder), str(scratch), f"--processes={cores}"]
    )
    encoded, failed = (
        len((scratch / name).read_text(encoding="utf-8").splitlines())
        for name in ("paths.txt", "failures.txt")
    )
    photos = encoded + failed
    return Measured(BASELINE, photos, failed, seconds, seconds * cores / photos * 1000, None)


def unpack(photos: Mapping[str, object], scratch: Path) -> tuple[Path, Path]:
    """Copy the photos that the workflow reads to a folder; give this folder, and a config file.

    `photos` are the config's keys about photos. The config file names the same photos, but those of
    a URL in the folder, so that nothing is downloaded again. Raises SystemExit with the line of a
    workflow that refuses the photos.
    """
    folder, config = scratch / "photos", scratch / "photos.json"
    config.write_text(json.dumps(photos))
    command = _snakemake(scratch, os.cpu_count() or 1, config)
    done = subprocess.run([*command, "--until", "shard"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.splitlines()[-1])
    for tar in (scratch / "results/shards").glob("*.tar"):
        for photo in read_shard(tar, tar.with_suffix(".csv")):
            target = folder / photo.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(photo.data)
    if (scratch / "results/download").exists():
        config.write_text(json.dumps({"photos": str(folder)}))
    return folder, config


def _snakemake(directory: Path, cores: int, *configs: Path) -> list[str]:
    command = [sys.executable, "-m", "snakemake", f"--cores={cores}", "--directory", str(directory)]
    return [*command, "--snakefile", str(ROOT / "Snakefile"), "--configfile", *map(str, configs)]


def run_workflow(way: str, scratch: Path, cores: int, *configs: Path) -> Measured:
    """Run the workflow. The workers' time is the time of the encode jobs, start included."""
    seconds = _timed(_snakemake(scratch, cores, *configs))
    summary = json.loads((scratch / "results/summary.json").read_text(encoding="utf-8"))
    jobs = pd.concat(
        [pd.read_csv(job, sep="\t") for job in scratch.glob("results/benchmarks/encode/*.tsv")]
    )
    return Measured(
        way,
        summary["photos"],
        summary["failed"],
        seconds,
        jobs["s"].sum() / summary["photos"] * 1000,
        pd.to_numeric(jobs["max_rss"], errors="coerce").max(),
    )


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def difference(pool: Path, compat: Path) -> float:
    """Give the largest difference between the embeddings of face_recognition and compat.yaml.

    Raises SystemExit where other photos failed, or embeddings differ by more than rounding.
    """
    faces = pd.read_csv(compat / "results/faces.csv", keep_default_na=False)
    paths = (pool / "paths.txt").read_text(encoding="utf-8").splitlines()
    if faces["path"].tolist() != sorted(paths):
        raise SystemExit("compat.yaml and face_recognition failed on different photos")
    order = sorted(range(len(paths)), key=paths.__getitem__)
    theirs = np.load(pool / "embeddings.npy", allow_pickle=False)[order]
    largest = float(np.abs(np.load(compat / "results/embeddings.npy") - theirs).max())
    if largest > 1e-5:
        raise SystemExit(f"the embeddings of compat.yaml and face_recognition differ by {largest}")
    return largest


def compare(photos: Mapping[str, object], cores: int, repeat: int) -> tuple[list[Measured], float]:
    """Run every way `repeat` times in turn; give the median of each, and `difference`.

    `photos` are the config's keys about photos.
    """
    runs: list[Measured] = []
    compat, fast = ROOT / "config/compat.yaml", ROOT / "config/fast.yaml"
    with tempfile.TemporaryDirectory() as scratch:
        folder, config = unpack(photos, Path(scratch))
        for number in range(repeat):
            place = Path(scratch, str(number))
            place.mkdir()
            runs += [
                run_pool(folder, place / "pool", cores),
                run_workflow("meanface, compat.yaml", place / "compat", cores, compat, config),
                run_workflow("meanface, defaults", place / "defaults", cores, config),
                run_workflow("meanface, fast.yaml", place / "fast", cores, fast, config),
            ]
            largest = difference(place / "pool", place / "compat")
            shutil.rmtree(place)
    ways = pd.DataFrame(asdict(run) for run in runs).groupby("way", sort=False)
    medians = ways.median().reset_index().itertuples(index=False, name=None)
    return [Measured(*row) for row in medians], largest


def machine(cores: int) -> str:
    """Name the machine the figures are from."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    packages = ", ".join(f"{name} {version(name)}" for name in ("dlib-bin", "onnxruntime"))
    python = f"Python {platform.python_version()}"
    return f"{cores} of {os.cpu_count()} cores of {model}, {python}, {packages}"


def table(rows: list[Measured]) -> str:
    """Give the comparison as a Markdown table."""
    base = rows[0]
    lines = [
        "| | whole run | | worker time per photo | | failed | worker memory |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        memory = f"{row.worker_mb:.0f} MB" if row.worker_mb and row.worker_mb > 0 else ""
        lines.append(
            f"| {row.way} | {row.seconds:.1f} s | {base.seconds / row.seconds:.1f}x "
            f"| {row.worker_ms:.1f} ms | {base.worker_ms / row.worker_ms:.1f}x "
            f"| {row.failed:.0f} of {row.photos:.0f} | {memory} |"
        )
    return "\n".join(lines) + "\n"


def plot(rows: list[Measured], target: Path, where: str) -> None:
    """Draw the seconds of the whole run of each way."""
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    ways = [row.way for row in rows]
    colours = ["#999999", "#56b4e9", "#0072b2", "#009e73"]
    bars = axes.barh(ways, [row.seconds for row in rows], color=colours)
    labels = [f"{row.seconds:.0f} s, {row.failed:.0f} failed" for row in rows]
    axes.bar_label(bars, labels, padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(f"seconds for {rows[0].photos:.0f} photos, start to finish")
    fastest = rows[0].seconds / rows[-1].seconds
    axes.set_title(f"The whole run is {fastest:.1f} times as fast", loc="left")
    figure.supxlabel(where, fontsize=7, color="#555555")
    figure.savefig(target, dpi=150)


def main() -> None:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--photos", nargs="+", default=[str(PHOTOS)], help="archives, folders, patterns or a URL"
    )
    parser.add_argument("--sha256", help="the checksum of a URL")
    parser.add_argument("--md5", help="the checksum of a URL")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "results/comparison")
    arguments = parser.parse_args()
    if arguments.photos == [str(PHOTOS)] and not PHOTOS.exists():
        parser.error("name your photos with --photos")

    # The workflow runs in another directory.
    places = [one if "://" in one else str(Path(one).absolute()) for one in arguments.photos]
    photos: dict[str, object] = {"photos": places[0] if len(places) == 1 else places}
    photos |= {key: value for key in ("sha256", "md5") if (value := getattr(arguments, key))}
    rows, largest = compare(photos, arguments.cores, arguments.repeat)
    where = machine(arguments.cores)
    arguments.output.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": where,
        "repeat": arguments.repeat,
        "runs": [asdict(row) for row in rows],
        "compat_difference": largest,
    }
    (arguments.output / "comparison.json").write_text(json.dumps(content, indent=2) + "\n")
    (arguments.output / "comparison.md").write_text(table(rows))
    plot(rows, arguments.output / "comparison.png", where)
    print(f"{where}, median of {arguments.repeat}\n\n{table(rows)}")
    print(f"compat.yaml: the same photos failed, embeddings differ by at most {largest:.1e}")


if __name__ == "__main__":
    main()
