"""All questions on photos of Labeled Faces in the Wild: asked, asked again, and one photo later."""

import json
import shutil
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from meanface.files.schemas import AUDIT, FIND, PEOPLE
from meanface.files.tables import read_table
from tests.lfw import lfw_archive, needs_lfw
from tests.runs import Run, snakemake

QUESTIONS = ("people", "verify", "audit", "find", "compare")
# What follows from another face in the set, once each; the photos of the query stay encoded.
FROM_FACES = {
    *("acquire", "plan", "merge", "statistics"),
    *("group_faces", "compare_all_pairs", "plot_det", "audit_faces"),
    *("index_faces", "find_faces", "plot_find", "compare_sets", "plot_comparison"),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The photos as a folder, to which a photo can be added."""
    archive = lfw_archive()
    assert archive is not None
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "photos", filter="data")
    return tmp_path / "photos"


@pytest.mark.slow
@needs_lfw
def test_all_questions_on_lfw(photos: Path, tmp_path: Path) -> None:
    files = pd.Series(sorted(photos.rglob("*.jpg")))
    person = files.map(lambda file: file.parent.name)
    later = files[person == person.value_counts().index[0]].iloc[0]
    query = Path(shutil.move(later, tmp_path / "query.jpg"))
    sample = snakemake(tmp_path / "sample")
    assert sample.code == 0, sample.output

    def asked() -> Run:
        settings = {"photos": photos, "query": query, "other": sample.results, "shards": 4}
        run = snakemake(tmp_path / "run", *QUESTIONS, **settings)
        assert run.code == 0, run.output
        return run

    run = asked()
    results = run.results
    people, audit, find = (
        read_table(results / f"{name}.csv", schema)
        for name, schema in (("people", PEOPLE), ("audit", AUDIT), ("find", FIND))
    )
    summary = json.loads((results / "summary.json").read_text())
    assert len(people) == summary["faces"] > 1590
    assert {*audit["kind"]} >= {"other_identity", "one_person"}
    assert find["identity"][0] == later.parent.name
    assert 0.1 < find["distance"][0] < 0.6
    # Persons and rates that the same run made.
    number = people.set_index(["path", "face"])["person"]
    assert (
        find["person"].tolist() == number[[*zip(find["path"], find["face"], strict=True)]].tolist()
    )
    assert json.loads((results / "find.json").read_text())["fmr_from"] == "results/verification.csv"
    # The sample shows other people.
    assert json.loads((results / "comparison.json").read_text())["mmd"]["p_value"] < 0.05
    for name in ("det", "find", "comparison"):
        assert (results / f"pictures/{name}.png").exists()

    assert not asked().jobs

    shutil.copy(query, later)
    run = asked()
    assert json.loads((results / "summary.json").read_text())["newly_encoded"] == 1
    once = {rule for rule, count in run.jobs.items() if count == 1}
    assert FROM_FACES | {*QUESTIONS} <= once, run.output
    assert not {"shard_query", "encode_query", "export_model"} & set(run.jobs)
    assert run.jobs["encode"] == 1
    found = read_table(results / "find.csv", FIND)
    assert found["path"][0] == str(later.relative_to(photos))
    assert found["distance"][0] < 1e-6
    assert len(read_table(results / "people.csv", PEOPLE)) == len(people) + 1

    assert not asked().jobs
