"""A report that reads a part of the faces shows what a report on all faces shows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from meanface.files.parquet import Columns, write_parquet
from meanface.report import drawn_faces, embedding_map, embeddings_sections, photos_sections
from meanface.report.drawn_faces import read_faces
from meanface.report.embedding_map import map_section
from meanface.report.embeddings_sections import (
    COPIES,
    distances_section,
    extremes_section,
    odd_section,
    settling_chart,
    suspects_section,
)
from meanface.report.photos_sections import headline, mean_groups, people_section
from meanface.report.results import Results
from tests.unit.report.test_page import made_up

COUNT, DRAWN = 1000, 100


@pytest.fixture
def whole() -> Results:
    """1,000 faces of 250 persons. Every tenth photo is a copy of the one before it."""
    results = made_up(COUNT, 250, 0)
    faces = results.faces
    copy = np.arange(COUNT) % 10 == 9
    before = faces["path"].shift(1)
    faces = faces.assign(
        duplicate_of=before.where(copy, ""),
        angle=np.random.default_rng(1).uniform(-180, 180, COUNT).round(1),
    )
    return replace(results, faces=faces)


@pytest.fixture
def part(whole: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """The same results. The report reads a part of the faces only."""
    monkeypatch.setattr(drawn_faces, "MOST", DRAWN)
    monkeypatch.setattr(drawn_faces, "_FEW", 15)
    monkeypatch.setattr(embeddings_sections, "COMPARED", 50)
    monkeypatch.setattr(embedding_map, "POINTS", 80)
    monkeypatch.setattr(photos_sections, "MEAN_OF_ALL", 70)
    monkeypatch.setattr(photos_sections, "PEOPLE", 20)
    part = part_of(whole, tmp_path)
    assert 500 in part.faces.index
    return part


def part_of(whole: Results, folder: Path) -> Results:
    table = pa.Table.from_pandas(whole.faces, preserve_index=False)
    write_parquet(folder / "faces.parquet", table.schema, [table], 300)
    named = [whole.faces["path"][500]]
    largest = whole.names().people[:20]
    beside = folder / "report.html"
    faces, drawn = read_faces(folder / "faces.parquet", COUNT, largest, named, beside)
    assert [path.name for path in folder.iterdir()] == ["faces.parquet"]
    return replace(whole, faces=faces, drawn=drawn)


def test_a_part_of_the_rows_is_read_with_their_numbers(whole: Results, part: Results) -> None:
    assert part.drawn
    assert part.drawn.is_drawn.sum() == DRAWN
    assert DRAWN < len(part.faces) < COUNT / 2
    expected = whole.faces.loc[part.faces.index]
    pd.testing.assert_frame_equal(part.faces, expected, check_names=False, check_dtype=False)
    assert (part.different(), part.copies()) == (whole.different(), whole.copies()) == (900, 100)


def test_sections_that_choose_faces_are_those_of_all_faces(whole: Results, part: Results) -> None:
    assert suspects_section(part) == suspects_section(whole)
    assert people_section(part) == people_section(whole)
    assert map_section(part) == map_section(whole)
    assert odd_section(part) == odd_section(whole)
    ours, theirs = extremes_section(part), extremes_section(whole)
    assert (ours["shown"], ours["groups"]) == (theirs["shown"], theirs["groups"])
    for (name, rows, total), (other, all_rows, all_total) in zip(
        mean_groups(part), mean_groups(whole), strict=True
    ):
        assert (name, total) == (other, all_total)
        numbers = [
            one.in_the_mean().index[some].tolist()
            for one, some in ((part, rows), (whole, all_rows))
        ]
        assert numbers[0] == numbers[1]


def test_copies_of_photos_with_many_faces_are_shown_with_the_first(
    whole: Results, part: Results, tmp_path: Path
) -> None:
    photo = np.arange(COUNT) // 10
    path = pd.Series([f"p{number:02}.jpg" for number in photo])
    first = path.where(photo % 2 == 0, path.shift(10))
    faces = whole.faces.assign(path=path, duplicate_of=first.where(photo % 2 == 1, ""))
    crowds = replace(whole, faces=faces)
    (tmp_path / "crowds").mkdir()
    expected = suspects_section(crowds)
    assert len(expected["copies"]) == COPIES
    found = suspects_section(part_of(crowds, tmp_path / "crowds"))
    assert found["copies"] == expected["copies"]


def test_distributions_are_those_of_the_faces_drawn(part: Results) -> None:
    sample = part.sample()
    assert len(sample) == DRAWN
    away = sample["distance"]
    assert f"within {away.median():.2f} of the mean" in extremes_section(part)["title"]
    different = int((sample["duplicate_of"] == "").sum())
    distances = distances_section(part)
    assert distances
    assert sum(distances["counts"].values()) == different * (different - 1) // 2
    assert distances["is_sample"]
    assert settling_chart(part)
    assert headline(part)["sentence"].endswith("of 100 faces drawn at random.")


def test_few_faces_are_read_whole(whole: Results, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(whole.faces, preserve_index=False)
    write_parquet(tmp_path / "faces.parquet", table.schema, [table])
    faces, drawn = read_faces(tmp_path / "faces.parquet", COUNT, [], [], tmp_path / "report.html")
    assert drawn is None
    pd.testing.assert_frame_equal(faces, whole.faces)
    columns = Columns(tmp_path / "faces.parquet")
    assert [*columns["path"]] == whole.faces["path"].tolist()
