"""The target compare, as a user makes it: two runs, refusals, and nothing done twice."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.lfw import lfw_archive, needs_lfw
from tests.runs import Run, snakemake


def run(directory: Path, *targets: str, **config: object) -> Run:
    done = snakemake(directory, *targets, **{"encoder": "stub", "shards": 2} | config)
    assert done.code == 0, done.output
    return done


def refused(directory: Path, **config: object) -> str:
    done = snakemake(directory, "results/comparison.csv", **{"encoder": "stub"} | config)
    assert done.code != 0
    lines = [line for line in done.output.splitlines() if line.startswith("meanface: ")]
    assert lines, done.output
    return lines[0]


def test_compare_the_sample_with_a_part_of_it(sample_photos: Path, tmp_path: Path) -> None:
    part = Path(shutil.copytree(sample_photos, tmp_path / "part"))
    shutil.rmtree(part / "Eileen_Collins")
    other = run(tmp_path / "other", photos=part).results
    done = run(tmp_path / "own", "compare", photos=sample_photos, other=other)
    summary = json.loads((done.results / "comparison.json").read_text())
    table = pd.read_csv(done.results / "comparison.csv").set_index("measure")
    means = [np.load(results / "mean.npy") for results in (done.results, other)]
    faces = [pd.read_csv(results / "faces.csv") for results in (done.results, other)]
    names = [set(some["identity"].dropna()) for some in faces]
    assert summary["shared_persons"] == len(names[1])
    assert table.loc["shared_contents", "value"] == summary["shared_contents"] > 0
    corrected = summary["distance_of_means"]
    assert corrected["low"] <= corrected["distance"] <= corrected["high"]
    assert corrected["distance"] <= np.linalg.norm(means[0] - means[1])
    assert 0 < summary["mmd"]["p_value"] <= 1
    assert (done.results / "pictures/comparison.svg").exists()
    settings = {"photos": sample_photos, "other": other}
    assert not run(tmp_path / "own", "compare", **settings).jobs
    # By its content: Snakemake takes a small file with another time and the same content as is.
    np.save(other / "embeddings.npy", np.load(other / "embeddings.npy") + np.float32(0.1))
    told = refused(tmp_path / "own", **settings, shards=2)
    assert f"other: {other}/embeddings.npy was altered since it was made" in told
    shutil.rmtree(other / "logs")  # a copy of the results alone
    assert run(tmp_path / "own", "compare", **settings).jobs["compare_sets"] == 1


def test_what_cannot_be_compared_is_refused_in_a_line(tmp_path: Path) -> None:
    own = tmp_path / "own"
    run(own)
    assert "other: compare needs the results of another run" in refused(own)
    assert f"{tmp_path} holds no results" in refused(own, other=tmp_path)
    other = run(tmp_path / "other", flip="true").results
    assert "come from another engine" in refused(own, other=other)


@pytest.mark.slow
@needs_lfw
def test_compare_lfw_with_itself_and_with_the_sample(tmp_path: Path) -> None:
    archive = lfw_archive()
    other = snakemake(tmp_path / "other")
    done = snakemake(tmp_path / "lfw", "compare", photos=archive, other=other.results)
    assert done.code == 0, done.output
    summary = json.loads((done.results / "comparison.json").read_text())
    assert summary["distance_of_means"]["low"] > 0
    done = snakemake(tmp_path / "lfw", "compare", photos=archive, other=done.results)
    assert json.loads((done.results / "comparison.json").read_text())["mmd"]["p_value"] == 1
