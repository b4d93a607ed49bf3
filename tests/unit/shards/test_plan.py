"""Which shard encodes which content."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from meanface.errors import AccountingError
from meanface.shards.plan import contents_of, plan, read_plan, write_contents


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def planned(folder: Path, *shards: Mapping[str, str]) -> list[list[str]]:
    """Plan for shards, given as the contents of photos by their paths; "" was not read."""
    folder.mkdir(exist_ok=True)
    manifests = [folder / f"{number}.csv" for number in range(len(shards))]
    for manifest, photos in zip(manifests, shards, strict=True):
        rows = [f"{p},1,{c and digest(c)}\n" for p, c in sorted(photos.items())]
        manifest.write_text("".join(["path,size,sha256\n", *rows]))
    parts = [folder / f"contents{part}.csv" for part in range(2)]
    for part, some in zip(parts, (manifests[:2], manifests[2:]), strict=True):
        write_contents(some, part)
    table, duplicates = folder / "shards.csv", folder / "duplicates.csv"
    total = plan(parts, table, duplicates)
    contents = [contents_of(manifest, duplicates) for manifest in manifests]
    assert total == sum(map(len, contents))
    told = read_plan(table)
    filled = [manifest for manifest in manifests if shards[int(manifest.stem)]]
    assert list(told) == [manifest.stem for manifest in filled]
    for manifest in filled:
        theirs = contents[int(manifest.stem)]
        assert told[manifest.stem].contents == len(theirs)
        lines = "".join(f"{content}\n" for content in theirs)
        done = subprocess.run(
            ["sha256sum"], input=lines, capture_output=True, text=True, check=True
        )
        assert told[manifest.stem].name == done.stdout.split()[0]
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
        write_contents([manifest], tmp_path / "contents.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["0.csv"]


@pytest.mark.parametrize("row", ["0", "0,zz", '"0'])
def test_a_damaged_table_of_contents_is_named(row: str, tmp_path: Path) -> None:
    table = tmp_path / "contents.csv"
    table.write_text(f"shard,sha256\n{row}\n")
    with pytest.raises(AccountingError, match=r"contents\.csv is damaged"):
        plan([table], tmp_path / "shards.csv", tmp_path / "duplicates.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["contents.csv"]


@pytest.mark.parametrize("text", ["", "shard,content\n", "shard,sha256\n0\n", 'shard,sha256\n"0'])
def test_damaged_duplicates_are_named(text: str, tmp_path: Path) -> None:
    planned(tmp_path, {"1.jpg": "A"})
    duplicates = tmp_path / "duplicates.csv"
    duplicates.write_text(text)
    with pytest.raises(AccountingError, match=r"duplicates\.csv is damaged"):
        contents_of(tmp_path / "0.csv", duplicates)


@pytest.mark.parametrize("text", ["", "shard,contents,name\n0,one,x\n", "shard,contents,name\n0\n"])
def test_a_damaged_plan_is_named(text: str, tmp_path: Path) -> None:
    table = tmp_path / "shards.csv"
    table.write_text(text)
    with pytest.raises(AccountingError, match=r"shards\.csv is damaged"):
        read_plan(table)
