"""What a source is described by."""

import hashlib
import os
from pathlib import Path

import pytest

from meanface.errors import UserError
from meanface.sources.acquire import describe
from meanface.sources.checksum import Checksum
from meanface.sources.listing import folder_listing

PHOTOS = hashlib.shake_256(b"photos").digest(300_000)
OTHER = hashlib.shake_256(b"other").digest(len(PHOTOS))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "photos.tgz"


def sha256(content: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(content).hexdigest())


MD5 = Checksum("md5", hashlib.md5(PHOTOS, usedforsecurity=False).hexdigest())


@pytest.mark.parametrize("checksum", [None, sha256(PHOTOS), MD5])
def test_describe_archive(target: Path, checksum: Checksum | None) -> None:
    target.write_bytes(PHOTOS)
    assert describe(target, checksum) == {
        "kind": "archive",
        "name": "photos.tgz",
        "bytes": len(PHOTOS),
        "sha256": hashlib.sha256(PHOTOS).hexdigest(),
    }


@pytest.mark.parametrize("checksum", [sha256(OTHER), Checksum("md5", "0" * 32)])
def test_describe_archive_with_wrong_checksum(target: Path, checksum: Checksum) -> None:
    target.write_bytes(PHOTOS)
    found = hashlib.new(checksum.algorithm, PHOTOS).hexdigest()
    with pytest.raises(UserError, match=f"{target}.*{found}.*{checksum.digest}"):
        describe(target, checksum)


def test_describe_archive_from_the_future(target: Path) -> None:
    target.write_bytes(PHOTOS)
    os.utime(target, (2**31 - 1, 2**31 - 1))
    with pytest.raises(UserError, match=r"photos\.tgz: .*future.*`touch`"):
        describe(target, None)


def test_describe_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "party"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    told = describe(folder, None)
    assert told == {"kind": "folder", "name": "party", "listing": folder_listing(folder).digest}
    monkeypatch.chdir(folder)
    assert describe(Path(), None) == told


def test_describe_folder_with_checksum(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}.*sha256"):
        describe(tmp_path, sha256(b""))


@pytest.mark.parametrize("name", ["absent.tgz", "a" * 300, "file/photos.tgz"])
def test_describe_what_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=name):
        describe(tmp_path / name, None)


def test_describe_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe"):
        describe(tmp_path / "pipe", None)
