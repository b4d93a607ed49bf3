"""Kill runs at random moments, start them again until they finish, and compare the results.

    python -m benchmarks.soak --photos lfw.tgz --count 300 --runs 30 --seed 1

Each run starts in an empty folder. All its processes are killed (SIGKILL) at a random moment within
the time that an undisturbed run takes. Then the run is started again and killed at a random moment
within twice that time, until it finishes before that moment. A run that finishes before its first
kill begins again. After a kill, `--unlock` is used where Snakemake's message says so.

The exit status is 1 where a run failed, or its results differ from the undisturbed run by a byte.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from meanface.files.digest import file_digest

ROOT = Path(__file__).parents[1]
# All results but summary.json and benchmarks, which hold times.
RESULTS = (
    *("mean.npy", "embeddings.npy", "faces.csv", "faces.parquet", "failures.csv"),
    *("statistics.npz", "identities.csv", "identities.npy", "mean_by_identity.npy"),
)


def first_photos(source: Path, target: Path, count: int) -> None:
    """Write a tar of the first `count` photos of an archive."""
    with tarfile.open(source) as archive, tarfile.open(target, "w") as chosen:
        files = (member for member in archive if member.isfile())
        for _, member in zip(range(count), files, strict=False):
            chosen.addfile(member, archive.extractfile(member))


def start(folder: Path, photos: Path, *arguments: str, seconds: float | None = None) -> int | None:
    """Run the workflow. Give its exit status, None where it was killed after `seconds`."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", *arguments]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--config", f"photos={photos}"]
    with (folder / "output.log").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None


def digests(folder: Path) -> dict[str, str]:
    """Give the sha256 of each result of a run."""
    return {name: file_digest(folder / "results" / name) for name in RESULTS}


def killed_until_done(folder: Path, photos: Path, moments: random.Random, usual: float) -> int:
    """Start a run until it is done; give the number of kills. RuntimeError: the run failed."""
    kills = 0
    while True:
        longest = 2 * usual if kills else usual
        status = start(folder, photos, seconds=moments.uniform(0, longest))
        if status is None:
            kills += 1
        elif status == 0 and kills:
            return kills
        elif status == 0:
            shutil.rmtree(folder)
        elif "--unlock" in (folder / "output.log").read_text():
            start(folder, photos, "--unlock")
        else:
            raise RuntimeError((folder / "output.log").read_text())


def main() -> None:
    """Run the soak that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a tar")
    parser.add_argument("--count", type=int, default=300, help="photos, the first ones")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    given = parser.parse_args()
    moments = random.Random(given.seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name, "photos.tar")
        first_photos(given.photos, photos, given.count)
        began = time.monotonic()
        if start(Path(name, "undisturbed"), photos) != 0:
            sys.exit(Path(name, "undisturbed/output.log").read_text())
        usual = time.monotonic() - began
        expected = digests(Path(name, "undisturbed"))
        print(f"undisturbed: {usual:.1f} s", flush=True)
        total = equal = 0
        for run in range(1, given.runs + 1):
            folder = Path(name, f"run{run}")
            kills = killed_until_done(folder, photos, moments, usual)
            same = digests(folder) == expected
            total, equal = total + kills, equal + same
            print(f"run {run}: {kills} kills, {'same' if same else 'OTHER'} bytes", flush=True)
        print(f"{given.runs} runs, {total} kills, {equal} with the bytes of the undisturbed run")
    sys.exit(equal < given.runs)


if __name__ == "__main__":
    main()
