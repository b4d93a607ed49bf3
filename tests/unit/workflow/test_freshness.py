"""Whose results these are, and what is out of date."""

from pathlib import Path
from typing import Any

import pytest

from meanface.errors import UserError
from meanface.files.json_files import write_json
from meanface.workflow.freshness import LocalResults, Wanted, prepare

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
    for name in ("sources", "download/a", "shards", "encoded", "pictures", "logs", "cache"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").touch()
    for name, record in records.items():
        write_json(folder / f"sources/{name}.json", record)
    write_json(folder / "summary.json", {"made_of": MERGED, "sources": records})
    (folder / "mean.npy").touch()
    return LocalResults(folder)


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
    prepare(results, wanted(*given))
    of_more = set() if known == given else {"summary.json"}
    assert left(tmp_path) == before - of_more


@pytest.mark.parametrize(
    ("known", "given", "told"),
    [
        (["/a"], [SAMPLE], "--config photos=/a`"),
        (["/a"], ["/b"], "--config photos=/a`"),
        (["/a", "/b"], ["/a", "/c"], "--config photos='[/a, /b]'`"),
        ([SAMPLE, "/b"], ["/c"], "--config photos=/b`"),
    ],
)
@pytest.mark.parametrize("lost", [None, "summary.json", "sources"])
def test_no_run_replaces_the_results_of_other_photos(
    tmp_path: Path, known: list[str], given: list[str], told: str, lost: str | None
) -> None:
    """Whichever of the two that tell it is left."""
    results = results_of(tmp_path, *known)
    if lost:
        results.remove(lost)
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
    """The cache stays."""
    prepare(results_of(tmp_path, known), wanted("/a", replace=replace))
    assert left(tmp_path) == {"cache/file", "logs/file", "mean.npy"}


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({"state": "2 3"}, {"sources/a.json"}),
        ({"shards": 8}, {"sources/a.json"}),
        ({"checksum": ["md5", "0"]}, {"sources/a.json", "download/a/file"}),
    ],
)
def test_a_source_that_changed_is_made_again(
    tmp_path: Path, changed: dict[str, Any], gone: set[str]
) -> None:
    results = results_of(tmp_path, "/a")
    before = left(tmp_path)
    prepare(results, wanted("/a", **changed))
    assert left(tmp_path) == before - gone - {"summary.json"}
    assert (tmp_path / "mean.npy").stat().st_mtime == 1, "older than what it is made of"


def test_a_summary_of_another_engine_is_made_again(tmp_path: Path) -> None:
    results = results_of(tmp_path, "/a")
    before = left(tmp_path)
    prepare(results, Wanted({"a": made_of("/a")}, MERGED | {"fingerprint": "1"}, SAMPLE, False))
    assert left(tmp_path) == before - {"summary.json"}


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"made_of": 3}', '{"sources": {}}'])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    results = results_of(tmp_path, "/a")
    for name in ("sources/a.json", "summary.json"):
        (tmp_path / name).write_text(damage)
    prepare(results, wanted("/a"))
    assert not left(tmp_path) & {"summary.json", "sources/a.json"}
    assert "mean.npy" in left(tmp_path)
