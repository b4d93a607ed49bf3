"""What changed is seen whatever Snakemake looks at and remembers, and nobody's results are lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runs import ROOT, Run, outcome, snakemake

MTIME = ("--rerun-triggers", "mtime")
RESULTS = ("mean.npy", "faces.csv", "failures.csv", "statistics.npz", "identities.csv")


def photo(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((8, 8, 3), value, np.uint8)
    Image.fromarray(pixels).save(path)


def make_photos(folder: Path) -> Path:
    for value in range(6):
        photo(folder / f"person_{value % 2}/{value}.png", value)
    shutil.copy(folder / "person_0/0.png", folder / "person_1/copy.png")
    return folder


def run(directory: Path, photos: Path, *arguments: str, **config: object) -> Run:
    settings = {"photos": photos, "encoder": "stub", "shards": 2, "cache": "null"} | config
    done = snakemake(directory, *arguments, **settings)
    assert done.code == 0, done.output
    return done


def bytes_of(done: Run) -> dict[str, bytes]:
    return {name: (done.results / name).read_bytes() for name in RESULTS}


def add(photos: Path) -> dict[str, object]:
    photo(photos / "person_2/new.png", 100)
    return {}


def replace(photos: Path) -> dict[str, object]:
    photo(photos / "person_1/1.png", 200)
    return {}


def remove(photos: Path) -> dict[str, object]:
    (photos / "person_1/copy.png").unlink()
    return {}


def setting(**config: object) -> Callable[[Path], dict[str, object]]:
    return lambda photos: config


CHANGES = {
    "a photo more": add,
    "another photo": replace,
    "a photo less": remove,
    "the engine": setting(face="all"),
    "merge": setting(deduplicate="true"),
    "reading": setting(ignore="[person_0/]"),
    "shards": setting(shards=3),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and its photos. Shared: do not change them."""
    folder = tmp_path_factory.mktemp("finished")
    photos = make_photos(folder / "photos")
    run(folder / "run", photos)
    return folder / "run", photos


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_without_snakemakes_records(
    change: str, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    """By times alone, after .snakemake is gone: the bytes are those of a run in a new folder."""
    photos = Path(shutil.copytree(finished[1], tmp_path / "photos", copy_function=shutil.copy2))
    again = Path(shutil.copytree(finished[0], tmp_path / "run"))
    for source in (again / "results/sources").glob("*.json"):
        moved = source.read_text().replace(str(finished[1]), str(photos))
        source.write_text(moved)
    summary = again / "results/summary.json"
    summary.write_text(summary.read_text().replace(str(finished[1]), str(photos)))
    shutil.rmtree(again / ".snakemake")
    shutil.rmtree(again / "results/logs")
    config = CHANGES[change](photos)
    changed = run(again, photos, *MTIME, **config)
    fresh = run(tmp_path / "fresh", photos, **config)
    assert bytes_of(changed) == bytes_of(fresh)
    assert not run(again, photos, *MTIME, **config).jobs


def test_a_changed_setting_of_merge_triggers_a_rerun_with_mtime(tmp_path: Path) -> None:
    """Snakemake ignores the time of a small input whose content has not changed."""
    photos = make_photos(tmp_path / "photos")
    run(tmp_path / "run", photos)
    config: dict[str, object] = {}
    for change in ({"deduplicate": "true"}, {"faces_csv": "false"}, {"file_rows": 4}):
        config |= change
        changed = run(tmp_path / "run", photos, *MTIME, **config)
        assert changed.jobs["merge"] == 1
        assert not changed.jobs["encode"]
        assert not run(tmp_path / "run", photos, *MTIME, **config).jobs
    fresh = run(tmp_path / "fresh", photos, **config)
    for name in ("mean.npy", "statistics.npz", "identities.csv"):
        assert (changed.results / name).read_bytes() == (fresh.results / name).read_bytes()
    assert (changed.results / "faces.parquet").is_dir()


def test_a_changed_question_triggers_a_rerun_with_mtime_or_without_records(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    for value in (7, 8, 9):
        if value == 9:
            shutil.rmtree(tmp_path / "run/.snakemake")
            unasked = run(tmp_path / "run", photos, pictures="false").jobs
            assert not unasked["group_faces"]
            assert not unasked["find_faces"]
        photo(tmp_path / f"query_{value}.png", value)
        config = {"query": tmp_path / f"query_{value}.png", "same_person": value / 10}
        done = run(tmp_path / "run", photos, "find", "people", *MTIME, pictures="false", **config)
        assert done.jobs["group_faces"] == done.jobs["find_faces"] == 1
        found = (done.results / "find.csv").read_text().splitlines()
        assert {row.partition(",")[0] for row in found[1:]} == {f"query_{value}.png"}
    assert not run(tmp_path / "run", photos, "find", "people", pictures="false", **config).jobs
    for _ in range(2):
        shutil.rmtree(tmp_path / "run/.snakemake")
        assert run(tmp_path / "run", photos, "report", pictures="false").jobs["report"] == 1


def test_a_single_target_sees_a_change_by_times_alone(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    again = tmp_path / "run"
    run(again, photos)
    add(photos)
    shutil.rmtree(again / ".snakemake")
    changed = run(again, photos, "results/statistics.npz", *MTIME)
    fresh = run(tmp_path / "fresh", photos)
    names = ("mean.npy", "faces.csv", "statistics.npz")
    assert all(bytes_of(changed)[name] == bytes_of(fresh)[name] for name in names)


def test_outcomes_of_an_earlier_engine_are_neither_used_nor_left(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    again = Path(shutil.copytree(finished[0], tmp_path / "run"))
    before = outcome(again / "results", "photos-0000")
    changed = run(again, finished[1], face="all")
    after = outcome(changed.results, "photos-0000")
    assert before.name != after.name
    assert changed.jobs["encode"] == 2


def test_other_photos_are_refused_and_replace_results_when_asked_to(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    again = Path(shutil.copytree(finished[0], tmp_path / "run"))
    others = tmp_path / "others"
    photo(others / "somebody/1.png", 50)
    before = {path: path.read_bytes() for path in again.rglob("results/**/*") if path.is_file()}
    for arguments, config in (
        ((), {"photos": others}),
        (("--forcerun", "acquire"), {}),
        (MTIME, {"shards": 2}),
    ):
        refused = snakemake(again, *arguments, **config, encoder="stub")
        assert refused.code != 0
        (line,) = [line for line in refused.output.splitlines() if line.startswith("meanface: ")]
        assert f"--config photos={finished[1]}`" in line
        assert str(config.get("photos", ROOT / "sample/sample.tar.gz")) in line
        assert {path: path.read_bytes() for path in before} == before
    replaced = run(again, others, replace="true")
    fresh = run(tmp_path / "fresh", others)
    assert bytes_of(replaced) == bytes_of(fresh)
    assert not (replaced.results / "shards/photos-0000.tar.part").exists()
