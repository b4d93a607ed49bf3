"""Whose results these are, and what is out of date."""

from pathlib import Path
from typing import Any

import pytest

from meanface.errors import UserError
from meanface.files.json_files import write_json
from meanface.workflow.freshness import (
    LocalResults,
    Records,
    Wanted,
    check_exclude,
    check_photos,
    outdated_sources,
    remove_outdated,
)
from meanface.workflow.integrity import recorded

SAMPLE = "/meanface/sample/sample.tar.gz"
MERGED: dict[str, Any] = {"fingerprint": "0", "deduplicate": False}


def made_of(photos: str, **changed: object) -> dict[str, Any]:
    return {"photos": photos, "state": "1 2", "checksum": None, "shards": 4} | changed


def wanted(*photos: str, replace: bool = False, **changed: object) -> Wanted:
    sources = {Path(one).name: made_of(one, **changed) for one in photos}
    return Wanted(sources, MERGED, SAMPLE, replace)


def results_of(folder: Path, *photos: str) -> LocalResults:
    """What a run of these photos leaves."""
    records = {Path(one).name: {"made_of": made_of(one)} for one in photos}
    for name in ("download/a", "shards", "sources", "encoded", "pictures", "logs", "cache"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").touch()
    for name, record in records.items():
        write_json(folder / f"sources/{name}.json", record)
        write_json(folder / f"shards/{name}-0.json", {"photos": 1})
    write_json(folder / "summary.json", {"made_of": MERGED, "sources": records})
    (folder / "mean.npy").touch()
    made = ["shards/file", "encoded/file", "pictures/file", "mean.npy", "summary.json"]
    made += [f"shards/{name}-0.json" for name in records]
    with recorded(folder / "logs/job.json", [str(folder / name) for name in made]):
        pass
    (folder / "pictures/poster.txt").touch()
    return LocalResults(folder, folder / "logs")


def prepare(results: LocalResults, wanted: Wanted) -> list[str]:
    """Give the sources that are to be made again."""
    known = Records.read(results, wanted)
    check_photos(known, wanted, results.name)
    check_exclude(known, wanted, results.name)
    remove_outdated(results, known, wanted)
    return outdated_sources(known, wanted)


def left(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files}


@pytest.mark.parametrize(
    ("known", "given"),
    [([], ["/a"]), (["/a"], ["/a"]), (["/a"], ["/b", "/a"]), ([SAMPLE], [SAMPLE])],
)
def test_what_is_made_of_the_same_stays(tmp_path: Path, known: list[str], given: list[str]) -> None:
    results = results_of(tmp_path, *known)
    before = left(tmp_path)
    assert prepare(results, wanted(*given)) == [Path(one).name for one in given if one not in known]
    assert left(tmp_path) == before
    assert (tmp_path / "mean.npy").stat().st_mtime != 1


@pytest.mark.parametrize(
    ("known", "given", "told"),
    [
        (["/a"], [SAMPLE], "--config photos=/a`"),
        (["/a"], ["/b"], "--config photos=/a`"),
        (["/a", "/b"], ["/a", "/c"], "--config photos='[/a, /b]'`"),
        ([SAMPLE, "/b"], ["/c"], "--config photos=/b`"),
        (["/a b #1"], ["/c"], """--config 'photos= "/a b #1" '`"""),
    ],
)
@pytest.mark.parametrize("lost", [None, "summary.json", "sources/*.json"])
def test_no_run_replaces_the_results_of_other_photos(
    tmp_path: Path, known: list[str], given: list[str], told: str, lost: str | None
) -> None:
    """Whichever of the two that tell it is left."""
    results = results_of(tmp_path, *known)
    for file in tmp_path.glob(lost or "nothing"):
        file.unlink()
    before = left(tmp_path)
    with pytest.raises(UserError) as raised:
        prepare(results, wanted(*given))
    assert left(tmp_path) == before
    message = str(raised.value)
    assert "\n" not in message
    for part in (f"{tmp_path} holds the results of", told, *given, "--directory", "replace=true"):
        assert part in message


@pytest.mark.parametrize(("known", "replace"), [(SAMPLE, False), ("/b", True)])
def test_results_that_may_be_replaced_are_removed(
    tmp_path: Path, known: str, replace: bool
) -> None:
    """What jobs made of them; the cache and files of others stay."""
    results = results_of(tmp_path, known)
    prepare(results, wanted("/a", replace=replace))
    kept = {"cache/file", "pictures/poster.txt", "download/a/file", "sources/file"}
    assert left(tmp_path) == kept | {"logs/job.json", "logs/file"}


def test_a_folder_of_results_may_be_a_link(tmp_path: Path) -> None:
    results = results_of(tmp_path / "results", "/b")
    (tmp_path / "results/shards").rename(tmp_path / "elsewhere")
    (tmp_path / "results/shards").symlink_to(tmp_path / "elsewhere")
    prepare(results, wanted("/a", replace=True))
    assert (tmp_path / "results/shards").is_symlink()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_run_that_found_no_photo_refuses_no_other(tmp_path: Path) -> None:
    """Its source was read, but never split into shards, as one whole or in parts."""
    results = results_of(tmp_path, "/empty")
    (tmp_path / "summary.json").unlink()
    (tmp_path / "shards/empty-0.json").unlink()
    assert prepare(results, wanted("/a")) == ["a"]
    assert not (tmp_path / "sources/empty.json").exists()
    results = results_of(tmp_path / "parts", "/b")
    (tmp_path / "parts/summary.json").unlink()
    (tmp_path / "parts/shards/b-0.json").unlink()
    (tmp_path / "parts/parts").mkdir()
    write_json(tmp_path / "parts/parts/b.json", {"photos": 1})
    with pytest.raises(UserError, match="holds the results of /b"):
        prepare(results, wanted("/a"))


def test_a_run_without_exclude_takes_no_excluded_photo_in_again(tmp_path: Path) -> None:
    results = results_of(tmp_path, "/a")
    write_json(tmp_path / "sources/a.json", {"made_of": made_of("/a", exclude="1")})
    before = left(tmp_path)
    with pytest.raises(UserError, match=r"--config exclude=, or add replace=true$"):
        prepare(results, wanted("/a"))
    assert left(tmp_path) == before
    assert prepare(results, wanted("/a", exclude="2")) == ["a"]
    assert prepare(results, wanted("/a", replace=True)) == ["a"]


def test_in_a_new_folder_nothing_is_to_be_made_again(tmp_path: Path) -> None:
    assert prepare(LocalResults(tmp_path, tmp_path / "logs"), wanted("/a")) == []


@pytest.mark.parametrize("changed", [{"state": "2 3"}, {"shards": 8}, {"checksum": ["md5", "0"]}])
def test_a_source_that_changed_is_made_again(tmp_path: Path, changed: dict[str, Any]) -> None:
    results = results_of(tmp_path, "/a")
    before = left(tmp_path)
    assert prepare(results, wanted("/a", **changed)) == ["a"]
    assert left(tmp_path) == before


def test_a_run_that_stops_at_once_does_not_forget_whose_results_there_are(tmp_path: Path) -> None:
    results = results_of(tmp_path, "/a")
    prepare(results, wanted("/a", state="2 3"))
    with pytest.raises(UserError, match="holds the results of /a"):
        prepare(results, wanted(SAMPLE))


@pytest.mark.parametrize(
    ("photos", "refused"),
    [
        ("/a", False),
        ("/b", True),
        (["/b", {"photos": "/a"}], True),
        ("sample/sample.tar.gz", False),
    ],
)
def test_results_of_a_version_that_did_not_say_what_they_are_of(
    tmp_path: Path, photos: object, refused: bool
) -> None:
    write_json(tmp_path / "summary.json", {"config": {"photos": photos}, "sources": {"a": {}}})
    results = LocalResults(tmp_path, tmp_path / "logs")
    if refused:
        with pytest.raises(UserError, match="holds the results of /b"):
            prepare(results, wanted("/a"))
    else:
        prepare(results, wanted("/a"))


def test_a_summary_of_another_engine_is_made_again(tmp_path: Path) -> None:
    results = results_of(tmp_path, "/a")
    before = left(tmp_path)
    another = Wanted({"a": made_of("/a")}, MERGED | {"fingerprint": "1"}, SAMPLE, False)
    assert prepare(results, another) == []
    assert left(tmp_path) == before
    assert (tmp_path / "mean.npy").stat().st_mtime == 1


@pytest.mark.parametrize(
    "damage", ["", "[]", "{", '{"made_of": 3}', '{"sources": {"a": 1}}', '{"sources": 1}']
)
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    results = results_of(tmp_path, "/a")
    for name in ("sources/a.json", "summary.json"):
        (tmp_path / name).write_text(damage)
    assert prepare(results, wanted("/a")) == ["a"]
    assert (tmp_path / "summary.json").stat().st_mtime == 1, "older than what it is made of"
    assert "mean.npy" in left(tmp_path)
