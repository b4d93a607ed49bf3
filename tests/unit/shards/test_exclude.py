"""The file `exclude`: which photos its lines exclude, and the receipt."""

import hashlib
from pathlib import Path

import pytest

from meanface.errors import UserError
from meanface.shards.exclude import Exclusion, read_list, state_of_list, write_excluded
from meanface.shards.split import split
from tests.unit.shards.making import SUFFIXES, shards_in, write_tar

DIGEST = hashlib.sha256(b"photo").hexdigest()


def test_lines_have_their_numbers_and_comments_say_nothing(tmp_path: Path) -> None:
    file = tmp_path / "forget.txt"
    file.write_bytes(f"\ufeff# who asked\r\n\r\n Zico \r\n{DIGEST.upper()}\nZico\n#x".encode())
    assert read_list(file) == {"Zico": 3, DIGEST: 4}


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_is_no_text_or_missing_is_refused(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "forget.txt"
    if content:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"config: exclude: .*forget\.txt"):
        read_list(file)
    if not content:
        with pytest.raises(UserError, match="one path, identity or sha256 per line"):
            state_of_list(file)


def test_a_line_is_a_path_an_identity_or_a_sha256() -> None:
    lines = {"a/b/1.jpg": 1, "Zico": 2, DIGEST: 3, "party": 4}
    exclusion = Exclusion(lines)
    assert exclusion.covers("a/b/1.jpg", "1" * 64)
    assert exclusion.covers("party/Zico/1.jpg", "2" * 64)
    assert exclusion.covers("x/y.jpg", DIGEST)
    assert not exclusion.covers("Zico/x/1.jpg", "4" * 64)
    assert not exclusion.covers("a/b/1.jpg.jpg", "5" * 64)
    assert exclusion.covers("Zico/large.jpg", "")
    assert exclusion.contents == {"1" * 64, "2" * 64, DIGEST}
    assert exclusion.by_line == {"1 path": 1, "2 identity": 2, "3 sha256": 1}
    prefixed = Exclusion(lines, prefixed=True)
    assert not prefixed.covers("party/1.jpg", "6" * 64), "the name of a source is no person"
    assert prefixed.covers("party/Zico/1.jpg", "7" * 64)


def test_unicode_forms_of_a_name_are_one_name(tmp_path: Path) -> None:
    file = tmp_path / "forget.txt"
    file.write_text("Jose\u0301\n", encoding="utf-8")
    assert Exclusion(read_list(file)).covers("Jos\u00e9/1.jpg", "")
    assert Exclusion(read_list(file)).covers("Jose\u0301/1.jpg", "")


def test_a_content_that_another_photo_has_is_not_forgotten() -> None:
    exclusion = Exclusion({"Zico/1.jpg": 1, DIGEST: 2})
    assert exclusion.covers("Zico/1.jpg", "1" * 64)
    assert not exclusion.covers("Zico/copy.jpg", "1" * 64)
    assert exclusion.contents == {DIGEST}


def test_the_receipt_counts_the_photos_of_all_sources(tmp_path: Path) -> None:
    lines = {"Zico": 3, DIGEST: 12, "nobody": 2}
    counts = [{"3 identity": 2, "12 sha256": 1}, {"3 identity": 1, "3 path": 1}]
    assert write_excluded(lines, counts, tmp_path / "excluded.csv") == [2]
    assert (tmp_path / "excluded.csv").read_text() == (
        "line,kind,photos\n2,,0\n3,identity,3\n3,path,1\n12,sha256,1\n"
    )


def test_excluded_photos_get_into_no_shard(tmp_path: Path) -> None:
    files = [
        (f"{name}/{number}.jpg", f"{name}{number}".encode()) for name in "ab" for number in "12"
    ]
    source = write_tar(tmp_path / "x.tar", [*files, ("readme", b"photo")])
    made = shards_in(tmp_path / "shards", 2)
    counts = split(
        source,
        *made,
        suffixes=SUFFIXES,
        max_bytes=1000,
        exclusion=Exclusion({"a": 1, "b/2.jpg": 2}),
    )
    assert [photo.path for photo in made.photos()] == ["b/1.jpg"]
    assert counts == {"photos": 1, "excluded": 3, "not_a_photo": 1}


def test_a_source_whose_photos_are_all_excluded_is_empty(tmp_path: Path) -> None:
    made = shards_in(tmp_path / "shards", 1)
    source = write_tar(tmp_path / "x.tar", [("a/1.jpg", b"1"), ("b/1.jpg", b"2")])
    exclusion = Exclusion({"a": 1, "b": 2})
    counts = split(source, *made, suffixes=SUFFIXES, max_bytes=1000, exclusion=exclusion)
    assert (list(made.photos()), counts["excluded"]) == ([], 2)


def test_a_raw_file_beside_an_excluded_photo_is_excluded(tmp_path: Path) -> None:
    raw = b"II*\0" + b"shot"
    files = [("a/1.jpg", b"1"), ("a/1.nef", raw), ("a/2.nef", raw + b"2")]
    made = shards_in(tmp_path / "shards", 1)
    exclusion = Exclusion({"a/1.jpg": 1})
    counts = split(
        write_tar(tmp_path / "x.tar", files),
        *made,
        suffixes=SUFFIXES,
        max_bytes=1000,
        exclusion=exclusion,
    )
    assert [photo.path for photo in made.photos()] == ["a/2.nef"]
    assert (counts["photos"], counts["excluded"], counts["raw"]) == (1, 2, 0)
    assert {hashlib.sha256(one).hexdigest() for one in (b"1", raw)} == exclusion.contents
