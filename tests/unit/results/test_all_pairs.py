"""Copies of photos are photos of their person, but make no pairs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meanface.results.all_pairs import named_photos, read_groups, verify_all

FACES = pd.DataFrame(
    [
        ("a/1", "a", ""),
        ("a/2", "a", "a/1"),
        ("a/3", "a", ""),
        ("b/1", "b", ""),
        ("b/2", "b", "a/1"),
    ],
    columns=["path", "identity", "duplicate_of"],
)
FAILED = ["a/4", "a/5"]  # perhaps copies


def test_copies_count_as_photos_and_make_no_pairs(tmp_path: Path) -> None:
    photos = named_photos(FACES, FAILED, ["a", "a"])
    embeddings = np.random.default_rng(0).normal(0, 0.05, (len(FACES), 128)).astype(np.float32)
    groups = tmp_path / "groups.csv"
    rows = [f"{path},one" for path in [*FACES["path"], *FAILED]]
    groups.write_text("\n".join(["path,group", *rows]) + "\n")
    _, summary = verify_all(photos, embeddings, read_groups(groups, photos))
    for found in (summary, summary["groups"]["one"]):
        assert (found["photos"], found["failed"]) == (7, 2)
        assert found["failure_to_enrol_rate"]["rate"] == pytest.approx(2 / 7)
        assert (found["mated_pairs"], found["nonmated_pairs"]) == (1, 2)


def test_the_accents_of_a_name_in_groups_may_be_spelled_apart(tmp_path: Path) -> None:
    faces = FACES.assign(identity=FACES["identity"].replace("a", "Jos\u00e9"))
    photos = named_photos(faces, [], [])
    groups = tmp_path / "groups.csv"
    groups.write_text("identity,group\nJose\u0301,one\n", encoding="utf-8")
    assert set(read_groups(groups, photos)[photos.identity == "Jos\u00e9"]) == {"one"}
