"""meanface as a module of another workflow, run from that workflow's own folder."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.runs import ROOT, Run, snakemake

MODULE = f"""
module meanface:
    snakefile: "{ROOT}/Snakefile"
    config: CONFIG
"""
# Where it does not matter what the photos show.
STUB = {"encoder": "stub", "shards": 2}
HANDLERS = """
onstart:
    meanface.onstart()

onsuccess:
    meanface.onsuccess()

onerror:
    meanface.onerror()
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    """Writes the importing workflow into a folder of its own, and runs it there."""
    folder = tmp_path / "theirs"
    folder.mkdir()

    def once(snakefile: str, *arguments: str, config: object = "config") -> Run:
        (folder / "Snakefile").write_text(snakefile.replace("CONFIG", str(config)))
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=folder)
        return Run(done.returncode, done.stdout + done.stderr, folder / "results")

    return once


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's results without another workflow."""
    done = snakemake(tmp_path_factory.mktemp("alone"), **STUB)
    assert done.code == 0, done.output
    return done.results


def same(results: Path, others: Path) -> None:
    for name in ("mean.npy", "embeddings.npy", "faces.csv", "failures.csv", "statistics.npz"):
        assert (results / name).read_bytes() == (others / name).read_bytes(), name


@pytest.mark.parametrize(("prefix", "use"), [("", ""), ("mf_", " as mf_*")])
def test_the_sample_with_and_without_a_prefix(
    run: Callable[..., Run], alone: Path, prefix: str, use: str
) -> None:
    snakefile = f"{MODULE}\nuse rule * from meanface{use}\n"
    done = run(snakefile, config=STUB)
    assert done.code == 0, done.output
    same(done.results, alone)
    assert done.jobs[f"{prefix}encode"] == 2
    assert re.search(r"^30 of 30 photos, .*, 0 failed$", done.output, re.M), "no progress"
    assert not run(snakefile, config=STUB).jobs


def test_the_sample_with_an_empty_config(run: Callable[..., Run]) -> None:
    """Every key has a default; the real encoder finds the sample's faces."""
    done = run(f"{MODULE}\nuse rule * from meanface as mf_*\n", "results/faces.csv", config={})
    assert done.code == 0, done.output
    assert len(pd.read_csv(done.results / "faces.csv")) == 23


# Their target comes first, their config has more than ours, their rules read our results.
THEIRS = f"""
configfile: "theirs.yaml"

rule all:
    input:
        "copy.csv",

{MODULE}
    prefix: "faces"

use rule * from meanface as mf_*

use rule encode from meanface as mf_encode with:
    threads: 2

rule copy:
    input:
        "faces/results/faces.csv",
    output:
        "copy.csv",
    run:
        shutil.copy(input[0], output[0])

import shutil
"""


def test_photos_and_rules_of_the_importer(
    run: Callable[..., Run], tmp_path: Path, sample_photos: Path
) -> None:
    shutil.copytree(sample_photos / "Grace_Hopper", tmp_path / "theirs/data/hopper")
    theirs = {"samples": "a b", "meanface": {"photos": "data/hopper", **STUB}}
    (tmp_path / "theirs/theirs.yaml").write_text(str(theirs))
    done = run(THEIRS + HANDLERS, config='config["meanface"]')
    assert done.code == 0, done.output
    folder = tmp_path / "theirs"
    assert (folder / "copy.csv").read_bytes() == (folder / "faces/results/faces.csv").read_bytes()
    assert len(pd.read_csv(folder / "copy.csv")) == len(
        list((folder / "data/hopper").glob("Grace_*"))
    )
    assert not done.results.exists() or not list(done.results.glob("*.csv"))
    # Snakemake calls a module's handlers only through those of the importer.
    assert f" results  {folder}/faces/results/ (mean.npy" in done.output


def test_with_a_prefix_the_report_shows_the_results_of_other_targets(
    run: Callable[..., Run], tmp_path: Path, sample_photos: Path
) -> None:
    shutil.copytree(sample_photos / "Grace_Hopper", tmp_path / "theirs/data/hopper")
    theirs = {"meanface": {"photos": "data/hopper"}}
    (tmp_path / "theirs/theirs.yaml").write_text(str(theirs))
    for target in ("people.csv", "report.html"):
        done = run(THEIRS, f"faces/results/{target}", config='config["meanface"]')
        assert done.code == 0, done.output
    page = tmp_path / "theirs/faces/results/report.html"
    assert "found without names" in page.read_text(encoding="utf-8")
    # In one run, the report waits for the audit, whichever way the audit is named.
    for audit in ("mf_audit", "faces/results/audit.csv"):
        for made in (page, page.with_name("audit.csv")):
            made.unlink(missing_ok=True)
        done = run(THEIRS, "mf_report", audit, config='config["meanface"]')
        assert done.code == 0, done.output
        assert 'id="audit"' in page.read_text(encoding="utf-8")


def test_why_a_job_failed_is_told_with_and_without_handlers(
    run: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "theirs/broken.tgz").write_text("no archive")
    for handlers in ("", HANDLERS):
        snakefile = f"{MODULE}\nuse rule * from meanface\n{handlers}"
        done = run(snakefile, config={"photos": "broken.tgz"})
        assert done.code != 0
        lines = [line for line in done.output.splitlines() if line.startswith("meanface: ")]
        assert len(lines) == 1, done.output
        assert "broken.tgz is neither a folder, a tar" in lines[0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"fase": "all"}, "config: unknown key 'fase'; did you mean face?"),
        ({"photos": "nowhere.zip"}, "config: photos: no such file or folder: 'nowhere.zip'"),
    ],
)
def test_a_wrong_config_is_one_line(
    run: Callable[..., Run], config: dict[str, str], message: str
) -> None:
    done = run(f"{MODULE}\nuse rule * from meanface\n", config=config)
    assert done.code != 0
    assert f"meanface: {message}" in done.output
    assert "Traceback" not in done.output


def test_the_report_has_captions_and_is_the_importers(run: Callable[..., Run]) -> None:
    """A picture's caption is found, and meanface's own text is not theirs."""
    target = "results/pictures/detectors.svg"
    done = run(
        f"{MODULE}\nuse rule * from meanface as mf_*\n",
        *("--report-after-run", "--report", "report.html", target),
        config=STUB,
    )
    assert done.code == 0, done.output
    page = (done.results.parent / "report.html").read_text()
    assert "detectors.svg" in page
    assert "The mean of many faces" not in page
