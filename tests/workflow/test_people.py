"""The target people: on the sample, and on photos of Labeled Faces in the Wild."""

import json
from pathlib import Path

import pytest

from meanface.files.schemas import FACES, PEOPLE
from meanface.files.tables import read_table
from tests.lfw import lfw_archive, needs_lfw
from tests.runs import snakemake


def test_people_of_the_sample_are_found_once(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "people")
    assert run.code == 0, run.output
    people = read_table(run.results / "people.csv", PEOPLE)
    faces = read_table(run.results / "faces.csv", FACES)
    assert people["path"].tolist() == faces["path"].tolist()
    assert (people.groupby("person")["medoid"].sum() == 1).all()
    assert (people["size"] == people.groupby("person")["path"].transform("size")).all()
    assert not snakemake(tmp_path, "people").jobs
    before = (run.results / "people.csv").read_bytes()
    other = snakemake(tmp_path / "other", "people", shards=2, threads=2)
    assert (other.results / "people.csv").read_bytes() == before
    stricter = snakemake(tmp_path, "people", same_person=0.4)
    assert set(stricter.jobs) == {"group_faces", "people"}


@pytest.mark.slow
@needs_lfw
def test_people_of_lfw_agree_with_the_names(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "people", photos=lfw_archive())
    assert run.code == 0, run.output
    report = json.loads((run.results / "people.json").read_text(encoding="utf-8"))
    assert report["bcubed"]["f"] >= 0.94
