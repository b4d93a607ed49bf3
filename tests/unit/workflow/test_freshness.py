"""Whose results these are, and what is out of date."""

from pathlib import Path

import pytest

from meanface.errors import UserError
from meanface.files.json_files import write_json
from meanface.workflow.freshness import check_same_photos, is_outdated

SAMPLE = "/meanface/sample/sample.tar.gz"


@pytest.mark.parametrize(
    ("known", "given"),
    [
        ([], ["/a"]),
        (["/a"], ["/a"]),
        (["/a"], ["/b", "/a"]),
        ([SAMPLE], ["/a"]),
        ([SAMPLE], [SAMPLE]),
        (["/a", SAMPLE], ["/a"]),
    ],
)
def test_a_run_may_add_sources_and_replace_the_sample(known: list[str], given: list[str]) -> None:
    check_same_photos(known, given, sample=SAMPLE, results="results")


@pytest.mark.parametrize(
    ("known", "given", "told"),
    [
        (["/a"], [SAMPLE], "--config photos=/a`"),
        (["/a"], ["/b"], "--config photos=/a`"),
        (["/a", "/b"], ["/a", "/c"], "--config photos='[/a, /b]'`"),
    ],
)
def test_no_run_replaces_the_results_of_other_photos(
    known: list[str], given: list[str], told: str
) -> None:
    with pytest.raises(UserError) as raised:
        check_same_photos(known, given, sample=SAMPLE, results="results")
    message = str(raised.value)
    assert "\n" not in message
    for part in ("results holds", told, *given, "--directory", "replace=true"):
        assert part in message


def test_a_file_is_outdated_where_it_was_made_of_something_else(tmp_path: Path) -> None:
    file, wanted = tmp_path / "a.json", {"state": "1 2", "parts": 1, "checksum": None}
    assert not is_outdated(file, wanted), "it is missing, as Snakemake will see"
    write_json(file, {"name": "a", "made_of": wanted})
    assert not is_outdated(file, wanted)
    assert is_outdated(file, wanted | {"parts": 2})
    assert is_outdated(file, wanted | {"more": None})
    for damaged in ('{"name": "a"}', "[]", "{"):
        file.write_text(damaged)
        assert is_outdated(file, wanted)
