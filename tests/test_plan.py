"""Which shard encodes which content."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from meanface.errors import AccountingError
from meanface.plan import plan


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def planned(folder: Path, *shards: Mapping[str, str]) -> list[list[str]]:
    """Plan for shards, given as the contents of photos by their paths; "" was not read."""
    folder.mkdir(exist_ok=True)
    files = [
        [folder / f"{number}.{kind}" for number in range(len(shards))]
        for kind in ("csv", "txt", "sha256")
    ]
    for manifest, photos in zip(files[0], shards, strict=True):
        rows = [f"{p},1,{c and digest(c)}\n" for p, c in sorted(photos.items())]
        manifest.write_text("".join(["path,size,sha256\n", *rows]))
    total = plan(*files)
    contents = [path.read_text().split() for path in files[1]]
    assert total == sum(map(len, contents))
    for path, said in zip(files[1], files[2], strict=True):
        told = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
        assert said.read_text().split() == told.stdout.split()[:1]
    return contents


def test_each_content_is_planned_once_in_the_first_shard_that_has_it(tmp_path: Path) -> None:
    first = {"b.jpg": "B", "a.jpg": "A", "again.jpg": "A", "large.jpg": ""}
    second = {"c.jpg": "C", "copy.jpg": "B"}
    made = planned(tmp_path, first, {}, second)
    assert made == [sorted(map(digest, "AB")), [], [digest("C")]]


def test_a_new_name_changes_no_plan(tmp_path: Path) -> None:
    before = planned(tmp_path / "before", {"1.jpg": "A", "2.jpg": "B"}, {"3.jpg": "C"})
    after = planned(tmp_path / "after", {"1.jpg": "B", "7.jpg": "A"}, {"3.jpg": "C"})
    assert before == after


def test_a_copy_of_a_photo_changes_no_plan_of_others(tmp_path: Path) -> None:
    before = planned(tmp_path / "before", {"1.jpg": "A"}, {"3.jpg": "C"})
    assert planned(tmp_path / "after", {"1.jpg": "A"}, {"3.jpg": "C", "4.jpg": "A"}) == before


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "0.csv"
    manifest.write_text("path,size,sha256\na.jpg,1\n")
    with pytest.raises(AccountingError, match=r"0\.csv is damaged"):
        plan([manifest], [tmp_path / "0.txt"], [tmp_path / "0.sha256"])
    assert [path.name for path in tmp_path.iterdir()] == ["0.csv"]
