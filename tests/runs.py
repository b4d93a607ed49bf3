"""Runs of the real workflow, as a user starts it."""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAULT_INJECTION = ROOT / "tests/faults"
"""On the path of a run, lets photos kill the process that encodes them, see sitecustomize.py."""


@dataclass(frozen=True)
class Run:
    """A finished `snakemake`: its exit code, what it printed and the folder it wrote."""

    code: int
    output: str
    results: Path

    @property
    def jobs(self) -> Counter[str]:
        """How many jobs of each rule ran, as Snakemake itself reports them."""
        return Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", self.output, re.M))


def snakemake(directory: Path, *arguments: str, **config: object) -> Run:
    """Run the workflow with its results below `directory`."""
    directory.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(directory), *arguments]
    if config:
        command += ["--config", *(f"{key}={value}" for key, value in config.items())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=directory)
    return Run(done.returncode, done.stdout + done.stderr, directory / "results")


def outcome(results: Path, shard: str, kind: str = "csv") -> Path:
    """What encode made of a shard, by its kind (npy, csv, json), after a run that succeeded."""
    (file,) = (results / "encoded").glob(f"{shard}.*.{kind}")
    return file


def nest_folders(folder: Path) -> None:
    """Put folders into it so deep that they cannot be listed, whoever tries.

    The system takes no path of more than 4095 bytes.
    """
    name, at = "d" * 250, os.open(folder, os.O_RDONLY)
    for _ in range(17):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
