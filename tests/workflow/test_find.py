"""The target find: photos of the set find themselves, and changes of the query are noticed."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from meanface.files.schemas import FIND, PEOPLE
from meanface.files.tables import read_table
from tests.runs import Run, snakemake


@pytest.fixture
def query(sample_photos: Path, tmp_path: Path) -> Path:
    """A folder: a photo of the set, one photo with two people, and a file that is no photo."""
    folder = tmp_path / "query"
    folder.mkdir()
    shutil.copy(sample_photos / "Grace_Hopper/Grace_Hopper_0001.jpg", folder / "a.jpg")
    sides = []
    for name in ("Eileen_Collins/Eileen_Collins_0001.jpg", "Grace_Hopper/Grace_Hopper_0001.jpg"):
        with Image.open(sample_photos / name) as photo:
            sides.append(photo.convert("RGB").resize((400, 400)))
    both = Image.new("RGB", (800, 400))
    for place, side in enumerate(sides):
        both.paste(side, (400 * place, 0))
    both.save(folder / "b.png")
    (folder / "c.jpg").write_text("no photo")
    return folder


def found(tmp_path: Path, *targets: str, **config: object) -> Run:
    run = snakemake(tmp_path / "run", *(targets or ("find",)), **config)
    assert run.code == 0, run.output
    return run


def test_find_the_faces_of_a_folder(query: Path, sample_photos: Path, tmp_path: Path) -> None:
    settings = {"photos": sample_photos, "query": query}
    run = found(tmp_path, **settings)
    table = read_table(run.results / "find.csv", FIND)
    assert [*table.groupby(["query", "query_face"]).groups] == [
        ("a.jpg", 1),
        ("b.png", 1),
        ("b.png", 2),
    ]
    first = table[table["query"] == "a.jpg"]
    assert first["rank"].tolist()[:20] == [*range(1, 21)]
    assert first["distance"].is_monotonic_increasing
    assert first["path"].iloc[0] == "Grace_Hopper/Grace_Hopper_0001.jpg"
    assert first["distance"].iloc[0] < 1e-6
    assert first["fmr"].is_monotonic_increasing
    persons = first[first["person_rank"] > 0]
    assert persons["person_rank"].tolist() == [*range(1, len(persons) + 1)]
    assert persons["identity"].is_unique
    nearest = table[(table["query"] == "b.png") & (table["rank"] == 1)]
    assert set(nearest["identity"]) >= {"Grace_Hopper"}
    summary = json.loads((run.results / "find.json").read_text())
    assert [one["path"] for one in summary["failed"]] == ["c.jpg"]
    assert (summary["photos"], summary["faces"]) == (3, 3)
    assert (run.results / "pictures/find.png").exists()
    assert not found(tmp_path, **settings).jobs
    # A changed query is encoded anew, and nothing else.
    shutil.copy(sample_photos / "Eileen_Collins/Eileen_Collins_0002.jpg", query / "a.jpg")
    run = found(tmp_path, **settings)
    assert set(run.jobs) == {"shard_query", "encode_query", "find_faces", "plot_find", "find"}
    table = read_table(run.results / "find.csv", FIND)
    assert table["path"].iloc[0] == "Eileen_Collins/Eileen_Collins_0002.jpg"
    # Persons without names, where they are known.
    found(tmp_path, "people", **settings)
    run = found(tmp_path, **settings)
    assert set(run.jobs) == {"find_faces", "plot_find", "find"}
    people = read_table(run.results / "people.csv", PEOPLE).set_index(["path", "face"])["person"]
    table = read_table(run.results / "find.csv", FIND)
    keys = [*zip(table["path"], table["face"], strict=True)]
    assert table["person"].tolist() == people.loc[keys].tolist()
    firsts = table[table["person_rank"] > 0]
    assert not firsts.duplicated(["query", "query_face", "person"]).any()
    # No pixel stays, the numbers do.
    run = found(tmp_path, pictures="false", **settings)
    assert (run.results / "find.csv").exists()
    assert not [*run.results.glob("pictures/find*"), *run.results.glob("query/*.tar")]


def test_a_query_that_cannot_be_searched_for_is_refused_in_a_line(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    for settings, line in (
        ({}, "meanface: query: find needs a photo or a folder of photos"),
        ({"query": photo}, f"meanface: query: there is no photo or folder {photo}"),
    ):
        run = snakemake(tmp_path / "run", "find", encoder="stub", **settings)
        assert run.code != 0
        assert line in run.output
        assert not run.jobs
    photo.write_text("no photo")
    run = snakemake(tmp_path / "run", "find", query=photo)
    assert (
        "meanface: query: no photo has a face that can be encoded; a.jpg: not_an_image"
        in run.output
    )


def test_without_paths_the_sheet_has_no_name(sample_photos: Path, tmp_path: Path) -> None:
    photo = sample_photos / "Grace_Hopper/Grace_Hopper_0001.jpg"
    settings = {"photos": sample_photos, "query": photo}
    sheet = found(tmp_path, **settings).results / "pictures/find.svg"
    assert "names of persons" in sheet.read_text()
    found(tmp_path, paths="false", **settings)
    assert "names of persons" not in sheet.read_text()


def test_persons_and_rates_of_other_faces_are_left_out(sample_photos: Path, tmp_path: Path) -> None:
    photos = Path(shutil.copytree(sample_photos, tmp_path / "photos"))
    query = sample_photos / "Eileen_Collins/Eileen_Collins_0001.jpg"
    settings = {"photos": photos, "query": query, "encoder": "stub", "pictures": "false"}
    # Made together: find waits for people and verify.
    run = found(tmp_path, "find", "people", "results/verification.csv", **settings)
    people = read_table(run.results / "people.csv", PEOPLE).set_index(["path", "face"])["person"]

    def searched() -> tuple[bool, str]:
        table = read_table(run.results / "find.csv", FIND)
        keys = [*zip(table["path"], table["face"], strict=True)]
        is_known = table["person"].tolist() == [people.get(key) for key in keys]
        assert is_known or (table["person"] == 0).all()
        return is_known, str(json.loads((run.results / "find.json").read_text())["fmr_from"])

    assert searched() == (True, "results/verification.csv")
    # Alone, find reads the same results as those of an earlier run.
    assert set(found(tmp_path, **settings).jobs) == {"find_faces", "find"}
    assert searched() == (True, "results/verification.csv")
    assert not found(tmp_path, **settings).jobs
    # A photo more: nobody groups all faces again for a search.
    shutil.copy(query, photos / "Grace_Hopper/Grace_Hopper_0099.jpg")
    run = found(tmp_path, **settings)
    assert not {"group_faces", "compare_all_pairs"} & set(run.jobs)
    for name, target in (("people", "people"), ("verification", "verify")):
        told = f"results/{name}.csv is of other faces and left out; `snakemake {target}` makes it"
        assert told in run.output
    is_known, rates = searched()
    assert (is_known, "Labeled Faces in the Wild" in rates) == (False, True)
    assert not found(tmp_path, **settings).jobs
    found(tmp_path, "people", **settings)
    people = read_table(run.results / "people.csv", PEOPLE).set_index(["path", "face"])["person"]
    run = found(tmp_path, **settings)
    assert set(run.jobs) == {"find_faces", "find"}
    assert "people.csv is of other" not in run.output
    assert searched()[0]
