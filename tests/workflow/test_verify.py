"""The target verify, as a user makes it: files, groups, refusals, and nothing done twice."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.lfw import lfw_archive, needs_lfw
from tests.runs import snakemake


def test_verify_on_the_sample(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "verify", encoder="stub")
    assert run.code == 0, run.output
    summary = json.loads((run.results / "verification.json").read_text())
    faces = pd.read_csv(run.results / "faces.csv", keep_default_na=False)
    embeddings = np.load(run.results / "embeddings.npy")
    named = faces[(faces["identity"] != "") & (faces["duplicate_of"] == "")]
    same = named["identity"].to_numpy()[:, None] == named["identity"].to_numpy()
    upper = np.triu(np.ones_like(same), 1).astype(bool)
    assert summary["mated_pairs"] == (same & upper).sum()
    assert summary["nonmated_pairs"] == (~same & upper).sum()
    assert summary["photos"] == len(named) + summary["failed"]
    vectors = embeddings[named.index].astype(float)
    distance = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    table = pd.read_csv(run.results / "verification.csv", keep_default_na=False)
    for _, row in table.iloc[::20].iterrows():
        below = distance < row["threshold"]
        matches = row["false_matches"]
        assert abs(matches - (below & ~same & upper).sum()) <= 1
        assert row["fmr"] == pytest.approx(matches / summary["nonmated_pairs"], rel=1e-5)
        assert row["fmr_low"] <= row["fmr"] <= row["fmr_high"]
    assert (run.results / "pictures/det.svg").exists()
    assert not snakemake(tmp_path, "verify", encoder="stub").jobs

    groups = tmp_path / "groups.csv"
    names = sorted(named["identity"].unique())
    half = [f"{name},{'one' if i % 2 else 'other'}" for i, name in enumerate(names)]
    groups.write_text("\n".join(["identity,group", *half]) + "\n")
    run = snakemake(tmp_path, "verify", encoder="stub", groups=groups)
    assert run.code == 0, run.output
    found = json.loads((run.results / "verification.json").read_text())["groups"]
    assert list(found) == ["one", "other"]
    of_one = named["identity"].isin(names[1::2]).to_numpy()
    assert found["one"]["mated_pairs"] == (same & upper & of_one & of_one[:, None]).sum()
    assert sum(group["mated_pairs"] for group in found.values()) == summary["mated_pairs"]
    table = pd.read_csv(run.results / "verification.csv", keep_default_na=False)
    assert set(table["group"]) == {"", "one", "other"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,group\nA,b\n", "write path,group or identity,group"),
        (
            "identity,group\nNobody,b\n",
            "names 'Nobody', which is the identity of no photo with a name (1 such row)",
        ),
        ("identity,group\nGrace_Hopper,a\nGrace_Hopper,b\n", "gives Grace_Hopper two groups"),
        (None, "there is no file"),
    ],
)
def test_groups_that_would_leave_photos_out_are_refused(
    text: str | None, told: str, sample_results: Path
) -> None:
    groups = sample_results / "groups.csv"
    groups.unlink(missing_ok=True)
    if text:
        groups.write_text(text)
    run = snakemake(sample_results, "results/verification.csv", encoder="stub", groups=groups)
    assert run.code != 0
    (line,) = [line for line in run.output.splitlines() if line.startswith("meanface: ")]
    assert told in line


def test_photos_with_several_faces_are_refused(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "results/verification.csv", encoder="stub", face="all")
    assert run.code != 0
    assert "meanface: face: verify needs one face per photo" in run.output


@pytest.fixture(scope="module")
def sample_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    assert snakemake(folder, encoder="stub").code == 0
    return folder


@pytest.mark.slow
@needs_lfw
def test_verify_on_lfw(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "verify", photos=lfw_archive())
    assert run.code == 0, run.output
    summary = json.loads((run.results / "verification.json").read_text())
    assert summary["mated_pairs"] + summary["nonmated_pairs"] == 1601 * 1600 // 2
    at = {at["target"]: at for at in summary["at_fmr"]}
    assert 0.001 < at[1e-3]["fnmr_low"] < at[1e-3]["fnmr"] < at[1e-3]["fnmr_high"] < 0.2
    assert at[1e-3]["fnmr"] < at[1e-4]["fnmr"] < at[1e-5]["fnmr"]
    assert not snakemake(tmp_path, "verify", photos=lfw_archive()).jobs
