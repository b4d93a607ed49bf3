"""The listing of a folder: its digest and its amount."""

import hashlib
import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from meanface.errors import UserError
from meanface.sources.listing import Amount, amount_of, folder_listing
from tests.runs import nest_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, a folder and an odd name, all of one age."""
    root = tmp_path / "photos"
    (root / "a").mkdir(parents=True)
    for name in (b"a/1.jpg", b"b.jpg", b"caf\xe9\n.jpg"):
        path = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
        path.write_bytes(b"x")
        path.chmod(0o644)
        os.utime(path, ns=(0, 1_000_000_000))
    return root


def test_listing_is_the_same_for_the_same_files(folder: Path, tmp_path: Path) -> None:
    digest = folder_listing(folder).digest
    assert folder_listing(folder).digest == digest
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in sorted(folder.iterdir(), reverse=True):
        path.rename(moved / path.name)
    assert folder_listing(moved).digest == digest


def test_listing_by_hand(folder: Path) -> None:
    entries = [b"a/1.jpg", b"b.jpg", b"caf\xe9\n.jpg"]
    expected = b"".join(name + b"\0" + b"1\0" + b"1000000000\0" + b"100644\0" for name in entries)
    assert folder_listing(folder).digest == hashlib.sha256(expected).hexdigest()


def test_listing_sees_every_change(folder: Path) -> None:
    seen = [folder_listing(folder).digest]

    def changed() -> None:
        seen.append(folder_listing(folder).digest)
        assert len(set(seen)) == len(seen)

    os.utime(folder / "b.jpg", ns=(0, 1_000_000_001))
    changed()
    (folder / "b.jpg").chmod(0o600)
    changed()
    (folder / "b.jpg").write_bytes(b"longer")
    os.utime(folder / "b.jpg", ns=(0, 1_000_000_001))
    changed()
    (folder / "b.jpg").rename(folder / "a" / "b.jpg")
    changed()
    (folder / "a" / "new.jpg").touch()
    changed()
    (folder / "a" / "new.jpg").unlink()
    (folder / "a" / "b.jpg").unlink()
    changed()


def test_listing_of_no_folder(folder: Path) -> None:
    for name in ("absent", "b.jpg"):
        with pytest.raises(UserError, match=name):
            folder_listing(folder / name)


def test_listing_does_not_follow_links(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "out").symlink_to(outside)
    (folder / "dangling.jpg").symlink_to("nowhere")
    digest = folder_listing(folder).digest
    (outside / "new.jpg").touch()
    assert folder_listing(folder).digest == digest
    (folder / "out").unlink()
    assert folder_listing(folder).digest != digest


def test_listing_of_a_deep_folder(tmp_path: Path) -> None:
    deep = tmp_path / "photos" / ("d/" * 1200)
    subprocess.run(["mkdir", "-p", deep], check=True)
    (deep / "a.jpg").write_bytes(b"12345")
    try:
        assert len(folder_listing(tmp_path / "photos").digest) == 64
        assert amount_of(tmp_path / "photos") == Amount(size=5, photos=1)
    finally:  # shutil would give up
        subprocess.run(["rm", "-rf", tmp_path / "photos"], check=True)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    nest_folders(tmp_path)
    for look in (folder_listing, amount_of):
        with pytest.raises(UserError, match=f"{tmp_path}/ddd.*: cannot be listed: File name too"):
            look(tmp_path)


def test_the_photos_of_a_zip_are_counted(tmp_path: Path) -> None:
    # More than 65,534 members need Zip64's records.
    for count in (3, 65_534, 65_535, 65_600):
        place = tmp_path / f"{count}.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for number in range(count):
                archive.writestr(f"{number}.jpg", b"")
            archive.comment = b"a comment"
        assert amount_of(place) == Amount(place.stat().st_size, count)


def test_the_photos_of_a_tar_are_guessed_by_its_size(tmp_path: Path) -> None:
    tars = tmp_path / "tars"
    tars.mkdir()
    (tars / "readme.txt").write_bytes(b"12345")
    for name in ("a.tar", "b.tar"):
        with tarfile.open(tars / name, "w") as tar:
            member = tarfile.TarInfo("photo.jpg")
            member.size = 300_000
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    whole = amount_of(tars / "a.tar")
    assert whole == Amount((tars / "a.tar").stat().st_size, 10)
    assert amount_of(tars) == Amount(2 * whole.size + 5, 21)


def test_a_video_beside_photos_counts_little(tmp_path: Path) -> None:
    for name, size in (("photo.jpg", 3_000_000), ("video.mov", 5 * 10**9)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    assert amount_of(tmp_path) == Amount(size=23_000_000, photos=2)


def test_a_zip_holds_no_more_photos_than_there_is_room_for(tmp_path: Path) -> None:
    place = tmp_path / "photos.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("a.jpg", b"")
    data = bytearray(place.read_bytes())
    data[-14:-10] = b"\xfe\xff\xfe\xff"  # the number of members, twice
    place.write_bytes(data)
    assert amount_of(place) == Amount(len(data), 1)
