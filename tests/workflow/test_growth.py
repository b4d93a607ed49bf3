"""Runs on photos that change: only what is new is encoded, and the results are a fresh run's."""

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meanface.files.digest import file_digest
from tests.runs import Run, snakemake

FAST = {"detectors": "[hog@0]", "shards": 2}
STUB = {"encoder": "stub", "shards": 2}  # where it does not matter what the photos show
RESULTS = ("mean.npy", "embeddings.npy", "faces.csv", "faces.parquet", "failures.csv")

Refresh = Callable[..., Run]
Fresh = Callable[[Path, dict[str, object]], dict[str, bytes]]


def new_photos(run: Run) -> int:
    """How many photos the run encoded; all others are to be reused."""
    summary = json.loads((run.results / "summary.json").read_text())
    contents = summary["photos"] - summary["duplicates"]
    assert summary["reused"] == contents - summary["newly_encoded"]
    return int(summary["newly_encoded"])


@pytest.fixture
def photos(tmp_path: Path, sample_photos: Path) -> Path:
    """A folder of five photos for changing, one without a face."""
    folder = tmp_path / "photos"
    (folder / "Cameraman").mkdir(parents=True)
    for number in (1, 2, 6, 8):
        shutil.copy(sample_photos / f"Eileen_Collins/Eileen_Collins_000{number}.jpg", folder)
    shutil.copy(sample_photos / "Failures/Brick_wall.jpg", folder / "Cameraman/none.jpg")
    return folder


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Gives what a fresh run without a cache makes of a folder; of the same photos, once."""
    known: dict[str, dict[str, bytes]] = {}

    def run(folder: Path, config: dict[str, object]) -> dict[str, bytes]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        photos = [(path.relative_to(folder), file_digest(path)) for path in files]
        key = repr((photos, sorted(config.items())))
        if key not in known:
            config = {"photos": folder} | config | {"cache": "null"}
            targets = (f"results/{name}" for name in RESULTS)
            done = snakemake(tmp_path_factory.mktemp("fresh"), *targets, **config)
            assert done.code == 0, done.output
            assert not (done.results / "cache").exists()
            known[key] = {name: (done.results / name).read_bytes() for name in RESULTS}
        return known[key]

    return run


@pytest.fixture
def again(tmp_path: Path, photos: Path, fresh: Fresh) -> Refresh:
    """Runs once more, and compares the results with those of a fresh run."""

    def run(*arguments: str, **config: object) -> Run:
        done = snakemake(tmp_path / "run", *arguments, **{"photos": photos} | config)
        assert done.code == 0, done.output
        for name, content in fresh(photos, config).items():
            assert (done.results / name).read_bytes() == content, name
        return done

    return run


def test_added_changed_renamed_and_removed(
    again: Refresh, photos: Path, sample_photos: Path
) -> None:
    assert new_photos(again(**STUB)) == 5

    for number in (1, 2, 3):
        shutil.copy(sample_photos / f"Grace_Hopper/Grace_Hopper_000{number}.jpg", photos)
    assert new_photos(again(**STUB)) == 3

    shutil.copy(
        sample_photos / "Grace_Hopper/Grace_Hopper_0007.jpg", photos / "Grace_Hopper_0001.jpg"
    )
    changed = again(**STUB)
    assert new_photos(changed) == 1
    assert changed.jobs["encode"] == 1

    for path in [*photos.glob("*.jpg"), photos / "Cameraman/none.jpg"]:
        path.rename(path.with_name(f"renamed {path.name}"))
    assert new_photos(again(**STUB)) == 0

    (photos / "renamed Eileen_Collins_0001.jpg").unlink()
    removed = again(**STUB)
    assert new_photos(removed) == 0
    assert json.loads((removed.results / "summary.json").read_text())["photos"] == 7


def test_doubled_and_split_anew(again: Refresh, photos: Path) -> None:
    assert new_photos(again(**STUB)) == 5
    shutil.copytree(photos, photos / "copy")
    doubled = again(**STUB)
    assert new_photos(doubled) == 0
    assert json.loads((doubled.results / "summary.json").read_text())["duplicates"] == 5
    faces = pd.read_csv(doubled.results / "faces.csv", keep_default_na=False)
    first = dict(zip(faces["path"], faces["duplicate_of"], strict=True))
    assert first["copy/Eileen_Collins_0002.jpg"] == "Eileen_Collins_0002.jpg" or (
        first["Eileen_Collins_0002.jpg"] == "copy/Eileen_Collins_0002.jpg"
    )
    resized = again(**STUB | {"shards": 5})
    assert resized.jobs["encode"] == 5
    assert new_photos(resized) == 0

    each_once = again(**STUB | {"shards": 5, "deduplicate": True})
    assert each_once.jobs["encode"] == 0
    rows = np.load(each_once.results / "embeddings.npy", allow_pickle=False)
    mean = np.load(each_once.results / "mean.npy", allow_pickle=False)
    assert len(rows) == 10
    assert mean == pytest.approx(np.unique(rows, axis=0).mean(axis=0, dtype=float), abs=1e-9)


def test_another_engine_encodes_anew_and_the_first_is_remembered(again: Refresh) -> None:
    assert new_photos(again(**FAST)) == 5
    assert new_photos(again(face="largest", **FAST)) == 5
    back = again("--forcerun", "export_model", **FAST)
    assert back.jobs["encode"] == 2
    assert new_photos(back) == 0


def test_a_damaged_cache_costs_time_only(again: Refresh, tmp_path: Path) -> None:
    run = again(**STUB)
    for path in (run.results / "cache").rglob("*.*"):
        path.write_bytes(path.read_bytes()[:100])
    assert new_photos(again("--forcerun", "encode", **STUB)) == 5
    assert new_photos(again("--forcerun", "encode", **STUB)) == 0
    shutil.rmtree(run.results / "cache")
    assert not snakemake(tmp_path / "run", **STUB, photos=tmp_path / "photos").jobs


def test_an_edit_that_keeps_size_and_time_needs_a_flag(
    again: Refresh, photos: Path, tmp_path: Path
) -> None:
    again(**STUB)
    path = photos / "Eileen_Collins_0001.jpg"
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-2000] ^= 0xFF
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not snakemake(tmp_path / "run", **STUB, photos=photos).jobs
    assert new_photos(again("--forcerun", "acquire", **STUB)) == 1


def packed(target: Path, folder: Path) -> Path:
    with tarfile.open(target, "w:gz") as tar:
        tar.add(folder, arcname=".")
    return target


def test_several_sources_each_on_its_own(
    again: Refresh, photos: Path, sample_photos: Path, tmp_path: Path
) -> None:
    party = packed(tmp_path / "party.tgz", sample_photos / "Both")
    both = f"[{photos}, {{photos: {party}, name: evening}}]"
    first = again(photos=both, **STUB)
    assert (first.jobs["acquire"], first.jobs["shard"], first.jobs["encode"]) == (2, 2, 4)
    faces = pd.read_csv(first.results / "faces.csv")
    assert {path.partition("/")[0] for path in faces["path"]} == {"photos", "evening"}
    assert set(faces["shard"].str.rpartition("-")[0]) == {"photos", "evening"}

    shutil.copy(sample_photos / "Both/Both_0001.jpg", photos / "of the party.jpg")
    changed = again(photos=both, **STUB)
    assert (changed.jobs["acquire"], changed.jobs["shard"]) == (1, 1)
    assert new_photos(changed) == 0

    # A source less is another set of photos.
    alone = again(**STUB, replace="true")
    assert new_photos(alone) == 0
    assert json.loads((alone.results / "summary.json").read_text())["photos"] == 6


def test_a_part_with_a_wrong_checksum_is_named(photos: Path, tmp_path: Path) -> None:
    party = packed(tmp_path / "party.tgz", photos)
    parts = f"[{photos}, {{photos: {party}, md5: '{'f' * 32}'}}]"
    run = snakemake(tmp_path / "run", **FAST, photos=parts)
    assert run.code != 0
    (line,) = [line for line in run.output.splitlines() if line.startswith("meanface:")]
    assert "party.tgz" in line


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"photos": "[sample, sample/sample.tar.gz]"}, "two are called 'sample'"),
        ({"photos": "[sample, {photos: docs, name: Sample}]"}, "two are called 'Sample'"),
        ({"photos": "[sample]", "md5": "f" * 32}, "md5: write it beside each of the photos"),
        ({"photos": "[{name: x}]"}, "config: photos:"),
        ({"photos": "[{photos: sample, name: ../x}]"}, "config: photos:"),
        ({"photos": "[sample, /nowhere]"}, "no such file or folder: '/nowhere'"),
    ],
)
def test_a_wrong_list_is_one_line(tmp_path: Path, config: dict[str, str], message: str) -> None:
    run = snakemake(tmp_path, **config)
    assert run.code != 0
    assert [line for line in run.output.splitlines() if message in line], run.output
    assert "Traceback" not in run.output
