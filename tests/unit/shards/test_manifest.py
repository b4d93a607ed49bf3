"""The manifest of a shard."""

import pytest

from meanface.errors import AccountingError
from meanface.shards.manifest import identity_of, read_manifest
from tests.unit.shards.making import Shards, mismatch


@pytest.mark.parametrize(
    ("path", "identity"),
    [("lfw/Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee"), ("Ann/1.jpg", "Ann"), ("1.jpg", "")],
)
def test_the_identity_is_the_folder(path: str, identity: str) -> None:
    assert identity_of(path) == identity


def test_two_spellings_of_an_accent_are_one_person() -> None:
    assert identity_of("Jose\u0301/1.jpg") == identity_of("Jos\u00e9/2.jpg") == "Jos\u00e9"


def test_a_damaged_manifest_is_noticed(one: Shards) -> None:
    manifest = one.manifests[0]
    header, *rows = manifest.read_text().splitlines(keepends=True)
    for text in (
        "",
        "".join(rows),
        header + rows[1] + rows[0] + rows[2],
        header + rows[0] + rows[0],
        header + rows[0].replace(",600", ",six"),
        header + rows[0].rpartition(",")[0],
        header + '"' + rows[0],
    ):
        manifest.write_text(text)
        with pytest.raises(AccountingError, match="damaged"):
            read_manifest(manifest)
    manifest.write_bytes(header.encode() + b"\xff" + rows[0].encode())
    with pytest.raises(AccountingError, match="damaged"):
        read_manifest(manifest)
    manifest.write_text(header + rows[0] + rows[1])
    assert "'2.jpg'" in mismatch(one)


@pytest.mark.parametrize(
    ("path", "alone", "prefixed"),
    [
        ("a.jpg", "", ""),
        ("party/a.jpg", "party", ""),
        ("party/Ann/a.jpg", "Ann", "Ann"),
        ("tars/00000.tar/a.jpg", "", ""),
        ("00000.tar/Ann/a.jpg", "Ann", "Ann"),
        ("Ann/00000.TAR.GZ/a.jpg", "", ""),
    ],
)
def test_neither_a_source_nor_an_archive_is_a_person(path: str, alone: str, prefixed: str) -> None:
    assert identity_of(path) == alone
    assert identity_of(path, prefixed=True) == prefixed
