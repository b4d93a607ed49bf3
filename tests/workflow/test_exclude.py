"""Excluded photos are in no file after the next run, whatever the run before left."""

import hashlib
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.runs import Run, snakemake

RESULTS = ("mean.npy", "embeddings.npy", "faces.csv", "statistics.npz", "identities.csv")
PERSONS, PHOTOS = 4, 3


@dataclass(frozen=True)
class Trace:
    """What must be found nowhere: the path, the digest and the embedding of a photo."""

    path: str
    sha256: str
    embedding: bytes

    @property
    def forms(self) -> tuple[bytes, ...]:
        number = int(self.sha256[:16], 16)  # the index of a cache has the first 64 bits
        return (
            self.path.encode(),
            self.sha256.encode(),
            self.sha256.upper().encode(),
            bytes.fromhex(self.sha256),
            number.to_bytes(8, "little"),
            self.embedding,
        )


def make_photos(folder: Path) -> Path:
    rng = np.random.default_rng(5)
    for person in range(PERSONS):
        for number in range(PHOTOS):
            path = folder / f"person_{person}/shot_{person}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def traces(photos: Path, done: Run, paths: Iterable[str]) -> list[Trace]:
    rows = {path: i for i, path in enumerate(pd.read_csv(done.results / "faces.csv")["path"])}
    embeddings = np.load(done.results / "embeddings.npy")
    return [Trace(path, sha256(photos / path), embeddings[rows[path]].tobytes()) for path in paths]


def found(wanted: Iterable[Trace], *folders: Path) -> set[tuple[str, str]]:
    """Each file that holds a form of a trace, or is named like it, with the photo's path."""
    return {
        (str(file), trace.path)
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file()
        for content in [file.read_bytes() + str(file.relative_to(folder)).encode()]
        for trace in wanted
        if any(form in content for form in trace.forms)
    }


def run(directory: Path, photos: Path, *targets: str, **config: object) -> Run:
    settings = {"photos": photos, "encoder": "stub", "shards": 4} | config
    done = snakemake(directory, *targets, **settings)
    assert done.code == 0, done.output
    return done


def write_list(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "forget.txt"
    file.write_text("\n".join(["# please forget", "", *lines]) + "\n", encoding="utf-8")
    return file


def test_nothing_of_an_excluded_photo_is_left(tmp_path: Path) -> None:
    """By path, identity and sha256, with pictures, an outer cache and shards of another layout."""
    photos, again, cache = make_photos(tmp_path / "photos"), tmp_path / "run", tmp_path / "cache"
    shutil.copy(photos / "person_2/shot_20.png", photos / "person_3/copy.png")
    run(again, photos, cache=cache, shards=8)
    run(again, photos, shards=6)  # with the default cache
    others = ("results/pictures/extremes.png", "results/pictures/map.html")
    before = run(again, photos, *others, "all", cache=cache)
    assert all((again / other).exists() for other in others)
    gone = ["person_0/shot_00.png", "person_1/shot_11.png", "person_2/shot_20.png"]
    gone += ["person_3/copy.png", "person_0/shot_01.png", "person_0/shot_02.png"]
    wanted = traces(photos, before, gone)
    assert {path for _, path in found(wanted, before.results)} == set(gone)
    assert {path for _, path in found(wanted, cache)} == set(gone)

    lines = ("person_0", "person_1/shot_11.png", sha256(photos / "person_2/shot_20.png"))
    listed = write_list(tmp_path, *lines, "nobody")
    with (again / "results/faces.csv").open("a") as edited:
        edited.write("a line of the user's\n")
    after = run(again, photos, cache=cache, exclude=listed)
    assert "renamed to faces.altered-1.csv" in after.output
    assert found(wanted, again, cache) == set()
    assert "KeyError" not in after.output, after.output
    assert not any((again / other).exists() for other in others)
    assert f"no photo matches line 6 of {listed}" in after.output
    assert f"6 photos (excluded.csv), which are still in {photos.name} itself" in after.output
    assert (after.results / "excluded.csv").read_text() == (
        "line,kind,photos\n3,identity,3\n4,path,1\n5,sha256,2\n6,,0\n"
    )
    for path in gone:
        (photos / path).unlink()
    fresh = run(tmp_path / "fresh", photos)
    for name in RESULTS:
        assert (after.results / name).read_bytes() == (fresh.results / name).read_bytes(), name


def test_only_the_shards_that_held_an_excluded_photo_are_encoded_again(tmp_path: Path) -> None:
    photos, again = make_photos(tmp_path / "photos"), tmp_path / "run"
    before = run(again, photos)
    faces = pd.read_csv(before.results / "faces.csv").set_index("path")
    path = "person_1/shot_11.png"
    held = faces["shard"] == faces.loc[path, "shard"]
    listed = write_list(tmp_path, path)
    after = run(again, photos, exclude=listed)
    assert after.jobs["encode"] == 1
    assert f"encoded  {PERSONS * PHOTOS - 1}" in after.output
    assert pd.read_json(after.results / "summary.json", typ="series")["newly_encoded"] == (
        held.sum() - 1
    )
    assert not run(again, photos, exclude=listed).jobs
    listed.write_text("")
    back = run(again, photos, exclude=listed)
    assert (back.results / "faces.csv").read_text() == (
        faces.reset_index().to_csv(index=False, lineterminator="\n")
    )
    refused = snakemake(again, photos=photos, encoder="stub", shards=4)
    assert refused.code != 0
    assert "results leaves out the photos that `exclude` named" in refused.output
    assert not (run(again, photos, replace=True).results / "excluded.csv").exists()


def test_a_copy_of_an_excluded_path_stays_with_its_outcome(tmp_path: Path) -> None:
    photos, again = make_photos(tmp_path / "photos"), tmp_path / "run"
    shutil.copy(photos / "person_2/shot_20.png", photos / "person_3/copy.png")
    run(again, photos)
    after = run(again, photos, exclude=write_list(tmp_path, "person_2/shot_20.png"))
    paths = pd.read_csv(after.results / "faces.csv")["path"].tolist()
    assert "person_3/copy.png" in paths
    assert "person_2/shot_20.png" not in paths


@pytest.mark.parametrize("shards", [2, pytest.param(300, marks=pytest.mark.slow)])
def test_an_archive_and_a_folder_together(shards: int, tmp_path: Path) -> None:
    """Names begin with the source. 300 shards: the sources are divided into parts first."""
    photos, again = make_photos(tmp_path / "photos"), tmp_path / "run"
    with tarfile.open(tmp_path / "party.tar", "w") as archive:
        archive.add(photos, "party")
    sources = f"[{tmp_path / 'party.tar'}, {photos}]"
    done = snakemake(again, photos=sources, encoder="stub", shards=shards)
    assert done.code == 0, done.output
    listed = write_list(tmp_path, "photos/person_0/shot_00.png", "person_1", "party")
    done = snakemake(again, photos=sources, encoder="stub", shards=shards, exclude=listed)
    assert done.code == 0, done.output
    faces = pd.read_csv(done.results / "faces.csv")
    assert len(faces) == 2 * PERSONS * PHOTOS - 2 * PHOTOS - 1
    assert "party/party/person_0/shot_00.png" in faces["path"].tolist()
    assert "are still in party.tar and photos itself" in done.output
    receipt = (done.results / "excluded.csv").read_text()
    assert receipt == "line,kind,photos\n3,path,1\n4,identity,6\n5,,0\n"


def test_a_list_that_is_missing_stops_the_run_before_any_job(tmp_path: Path) -> None:
    done = snakemake(tmp_path / "run", exclude=tmp_path / "none.txt", encoder="stub")
    assert done.code != 0
    assert f"meanface: config: exclude: {tmp_path / 'none.txt'} cannot be read" in done.output
    assert not done.jobs
