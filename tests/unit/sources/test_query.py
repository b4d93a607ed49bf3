"""A query is a photo, or what a source of photos may be."""

from pathlib import Path

import pytest

from meanface.errors import UserError
from meanface.shards.manifest import read_manifest
from meanface.shards.split import split
from meanface.sources.query import query_place

NAMES = ["a.jpg", "aa.jpg", "[a].jpg", "a*.jpg", "!.jpg", "a.jpg!", "b c.jpg", "{x}.jpg"]


def read(query: str, folder: Path) -> list[str]:
    """Read the photos of a query, as the workflow does."""
    place = query_place(query, [], 1000)
    tar, manifest = folder / "query.tar", folder / "query.csv"
    split(place, [tar], [manifest], suffixes=frozenset({".jpg", "!"}), max_bytes=1000)
    return [photo.path for photo in read_manifest(manifest)]


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_is_read_alone(name: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "below").mkdir(parents=True)
    for other in NAMES:
        (photos / other).write_bytes(b"photo")
        (photos / "below" / other).write_bytes(b"photo")
    assert read(str(photos / name), tmp_path) == [name]
    (tmp_path / "link").symlink_to(photos / name)
    assert read(str(tmp_path / "link"), tmp_path) == [name]


@pytest.mark.parametrize("folder", ["[a]", "a*", "a?/b", "[!a]"])
def test_a_photo_in_a_folder_whose_name_looks_like_a_pattern_is_read(
    folder: str, tmp_path: Path
) -> None:
    for other in (folder, "a", "ab"):
        (tmp_path / other).mkdir(parents=True)
        (tmp_path / other / "a.jpg").write_bytes(b"photo")
    assert read(str(tmp_path / folder / "a.jpg"), tmp_path) == [f"{folder}/a.jpg"]


def test_a_folder_is_read_with_all_below(tmp_path: Path) -> None:
    (tmp_path / "photos/below").mkdir(parents=True)
    (tmp_path / "photos/below/a.jpg").write_bytes(b"photo")
    assert read(str(tmp_path / "photos"), tmp_path) == ["below/a.jpg"]


def test_a_query_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="query: there is no photo or folder"):
        query_place(str(tmp_path / "a.jpg"), [], 1000)
    with pytest.raises(UserError, match=r"query: .* holds no file"):
        query_place(str(tmp_path), [], 1000)
    (tmp_path / ".a.jpg").write_bytes(b"photo")
    with pytest.raises(UserError, match=r"query: .*/\.a\.jpg matches only ignored files"):
        query_place(str(tmp_path / ".a.jpg"), [], 1000)
