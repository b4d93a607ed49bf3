"""Splitting: the same photos give the same bytes, and nothing is lost."""

import csv
import gzip
import hashlib
import io
import resource
import subprocess
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from meanface.errors import AccountingError, UserError
from meanface.shards.layout import shard_of
from meanface.shards.manifest import Photo, read_manifest
from meanface.shards.read import read_shard
from meanface.shards.split import split_part
from tests.lfw import lfw_archive, needs_lfw
from tests.unit.shards.making import Shards, shards_in, split_into, write_tar

PHOTOS = {
    **{f"{i % 7}/photo_{i}.jpg": f"photo {i}".encode() * (i * 10) for i in range(40)},
    "a, \"b\" 'c'.jpg": b"quotes",
    "two\nlines.jpg": b"newline",
    "back\rhome.jpg": b"return",
    "both\r\n.jpg": b"both",
    "=1+1.jpg": b"formula",
    "-rf.jpg": b"option",
    "José/日本/😀.jpg": b"not ASCII",
    "x" * 251 + ".jpg": b"255 bytes",
    "d/" * 200 + "deep.jpg": b"deep",
    "case.jpg": b"one",
    "Case.jpg": b"another",
    "caf\u00e9.jpg": b"composed",
    "cafe\u0301.jpg": b"decomposed",
    " .jpg": b"space",
    "empty.jpg": b"",
    "block.jpg": bytes(512),
    "back\\slash.jpg": b"backslash",
    "caf\\x5cxe9.jpg": b"escaped",
}


def content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    assert file is not None
    return file.read()


def names_in(tar: Path) -> list[str]:
    with tarfile.open(tar) as archive:
        return archive.getnames()


@pytest.fixture
def photos_tar(tmp_path: Path) -> Path:
    escaped = {name.replace(r"\x5c", "\\"): data for name, data in PHOTOS.items()}
    return write_tar(tmp_path / "photos.tar", escaped.items())


def test_every_photo_is_in_one_shard_with_its_size_and_digest(
    photos_tar: Path, tmp_path: Path
) -> None:
    made, counts = split_into(tmp_path / "out", photos_tar)
    photos = list(made.photos())
    assert {photo.path: photo.data for photo in photos} == PHOTOS
    assert len(photos) == len(PHOTOS)
    assert counts == {"photos": len(PHOTOS)}
    for photo in photos:
        data = PHOTOS[photo.path]
        assert (photo.size, photo.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    for i, manifest in enumerate(made.manifests):
        rows = read_manifest(manifest)
        assert [row.path for row in rows] == sorted(row.path for row in rows)
        assert all(shard_of(row.path, 4) == i for row in rows)
        assert [row.path for row in rows] == names_in(made.tars[i])


def test_the_manifest_is_csv(photos_tar: Path, tmp_path: Path) -> None:
    made, _ = split_into(tmp_path / "out", photos_tar, count=1)
    with made.manifests[0].open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["path", "size", "sha256"]
    assert [row[0] for row in rows] == sorted(PHOTOS)


def test_parts_split_into_shards_hold_every_photo_once(photos_tar: Path, tmp_path: Path) -> None:
    """Of a photo too large to be read, the manifest alone tells, there too."""
    parts, counts = split_into(tmp_path / "parts", photos_tar, count=3, max_bytes=300)
    assert counts["photos"] == len(PHOTOS)
    found: dict[str, tuple[int, int]] = {}
    for number, (tar, manifest) in enumerate(zip(*parts, strict=True)):
        made = shards_in(tmp_path / f"{number}", 4)
        assert split_part(tar, manifest, *made, parts=3)["photos"] == len(read_manifest(manifest))
        assert {photo.path: photo.data for photo in made.photos()} == {
            photo.path: photo.data for photo in read_shard(tar, manifest)
        }
        rows = [read_manifest(shard) for shard in made.manifests]
        assert sorted(row for shard in rows for row in shard) == read_manifest(manifest)
        for shard, theirs in enumerate(rows):
            found |= {row.path: (number, shard) for row in theirs}
    assert found.keys() == PHOTOS.keys()
    assert len(set(found.values())) == 12, "every shard has photos"
    assert all(found[path] == (shard_of(path, 3), shard_of(path, 4, 3)) for path in found)


def test_a_damaged_part_is_noticed(one: Shards, tmp_path: Path) -> None:
    data = bytearray(one.tars[0].read_bytes())
    data[1111] ^= 1
    one.tars[0].write_bytes(data)
    made = shards_in(tmp_path / "made", 2)
    with pytest.raises(AccountingError, match=r"0\.tar does not agree with .*0\.csv"):
        split_part(one.tars[0], one.manifests[0], *made, parts=1)
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.parametrize("source", ["reversed", "pax", "gz", "zip", "folder"])
def test_the_same_photos_give_the_same_bytes(source: str, photos_tar: Path, tmp_path: Path) -> None:
    expected = split_into(tmp_path / "expected", photos_tar)[0].bytes()
    with tarfile.open(photos_tar) as archive:
        files = [(info.name, content(archive, info)) for info in archive]
    files.reverse()
    other = tmp_path / "other"
    if source == "gz":
        other.write_bytes(gzip.compress(photos_tar.read_bytes()))
    elif source == "zip":
        with zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files:
                archive.writestr(name, data)
    elif source == "folder":
        for name, data in files:
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            (other / name).write_bytes(data)
    else:
        write_tar(other, files, tarfile.PAX_FORMAT if source == "pax" else tarfile.GNU_FORMAT)
    assert split_into(tmp_path / "out", other)[0].bytes() == expected


def test_a_shard_written_in_pieces_is_the_same(photos_tar: Path, tmp_path: Path) -> None:
    expected = split_into(tmp_path / "expected", photos_tar)[0].bytes()
    assert split_into(tmp_path / "out", photos_tar, buffer=1000)[0].bytes() == expected


def test_gnu_tar_reads_the_shards(photos_tar: Path, tmp_path: Path) -> None:
    made, _ = split_into(tmp_path / "out", photos_tar, count=2)
    for tar in made.tars:
        listed = subprocess.run(["tar", "-tvf", tar], capture_output=True, text=True, check=True)
        assert not listed.stderr
        subprocess.run(["tar", "-xf", tar, "-C", tmp_path / "out"], check=True)
        with tarfile.open(tar) as archive:
            for info in archive:
                assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (
                    *(0, 0, 0, "", ""),
                    0o644,
                )
    for path, data in PHOTOS.items():
        assert (tmp_path / "out" / path).read_bytes() == data


def test_names_in_the_shards_are_utf8_wherever_they_are_read(
    photos_tar: Path, tmp_path: Path
) -> None:
    made, _ = split_into(tmp_path / "out", photos_tar, count=1)
    with tarfile.open(made.tars[0], encoding="ascii", errors="replace") as archive:
        assert archive.getnames() == sorted(PHOTOS)


def test_an_empty_shard_is_a_small_valid_tar(tmp_path: Path) -> None:
    source = write_tar(tmp_path / "x.tar", [("one.jpg", b"1")])
    made, _ = split_into(tmp_path / "out", source, count=8)
    empty = [i for i in range(8) if i != shard_of("one.jpg", 8)]
    for i in empty:
        assert list(read_shard(made.tars[i], made.manifests[i])) == []
        assert made.tars[i].stat().st_size == 1024
        listed = subprocess.run(["tar", "-tf", made.tars[i]], capture_output=True, check=True)
        assert listed.stdout + listed.stderr == b""
    assert {made.manifests[i].read_text() for i in empty} == {"path,size,sha256\n"}


def test_a_new_photo_changes_its_own_shard_only(photos_tar: Path, tmp_path: Path) -> None:
    before, _ = split_into(tmp_path / "before", photos_tar, count=8)
    with tarfile.open(photos_tar, "a") as archive:
        info = tarfile.TarInfo("new.jpg")
        archive.addfile(info)
    after, _ = split_into(tmp_path / "after", photos_tar, count=8)
    for old, new in zip(before, after, strict=True):
        changed = [i for i in range(8) if old[i].read_bytes() != new[i].read_bytes()]
        assert changed == [shard_of("new.jpg", 8)]


def image(format: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, format)
    return stream.getvalue()


def test_what_is_skipped_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "notes.txt").write_text("notes")
    (folder / "sub" / "photo").write_bytes(image("PNG"))
    (folder / "broken.jpg").write_bytes(b"broken")
    (folder / "._broken.jpg").write_bytes(b"ignored")
    (folder / "link.jpg").symlink_to("broken.jpg")
    made, counts = split_into(tmp_path / "out", folder)
    expected = {"photos": 2, "not_a_photo": 1, "directory": 1, "ignored": 1, "link": 1}
    assert counts == expected
    assert {photo.path for photo in made.photos()} == {"sub/photo", "broken.jpg"}


@pytest.mark.parametrize("first", ["raw", "photo"])
@pytest.mark.parametrize("count", [1, 5])
def test_a_raw_file_and_its_photo_are_one_photo(first: str, count: int, tmp_path: Path) -> None:
    raws = ["h/DSC_1.NEF", "h/IMG_2.cr3", "h/a.b.DNG", "h/3.arw", "h/3.dng"]
    raws += ["h/5.CR2", "h/PXL_1.RAW-02.ORIGINAL.dng", "h/PXL_2.RAW-02.ORIGINAL.dng"]
    photos = ["h/DSC_1.JPG", "h/IMG_2.jpg", "h/a.b.Jpeg", "h/3.JPG"]
    photos += ["h/5.CR2.jpg", "h/PXL_1.RAW-01.COVER.jpg", "h/PXL_2.RAW-01.MP.COVER.jpg"]
    alone = ["x/DSC_1.NEF", "h/DSC_1_1.NEF", "h/IMG_2.jpg.raf", "h/4.orf"]
    alone += ["h/PXL_3.RAW-02.ORIGINAL.dng", "h/PXL_3.jpg"]
    files = [(name, name.encode() * 99) for name in raws + alone + photos]
    source = write_tar(tmp_path / "x.tar", files if first == "raw" else files[::-1])
    made, counts = split_into(tmp_path / "out", source, count)
    assert counts == {"photos": len(alone + photos), "raw": len(raws)}
    found = {photo.path: photo.data for photo in made.photos()}
    assert found == {name: data for name, data in files if name not in raws}
    # Without a gap where the RAW file was.
    files = [file for file in files if file[0] not in raws]
    expected, _ = split_into(tmp_path / "same", write_tar(tmp_path / "y.tar", files), count)
    assert made.bytes() == expected.bytes()


def test_a_raw_file_is_told_by_its_content(tmp_path: Path) -> None:
    raf = b"FUJIFILMCCD-RAW 0201FF383501" + bytes(99)
    files = [("1", raf), ("2.jpg", raf), ("2.JPG", b"photo"), ("3.txt", b"FUJI"), ("4.jpg", raf)]
    made, counts = split_into(tmp_path / "out", write_tar(tmp_path / "x.tar", files))
    assert {photo.path for photo in made.photos()} == {"1", "2.JPG", "4.jpg"}
    assert counts == {"photos": 3, "raw": 1, "not_a_photo": 1}


def test_a_photo_too_large_is_in_the_manifest_and_not_in_memory(tmp_path: Path) -> None:
    source = write_tar(tmp_path / "x.tar", [("large.jpg", bytes(101)), ("fits.jpg", bytes(100))])
    made, counts = split_into(tmp_path / "out", source, count=1, max_bytes=100)
    assert counts == {"photos": 2}
    assert list(made.photos()) == [
        Photo("fits.jpg", 100, hashlib.sha256(bytes(100)).hexdigest(), bytes(100))
    ]
    assert read_manifest(made.manifests[0])[1] == ("large.jpg", 101, "")
    with tarfile.open(made.tars[0]) as archive:
        assert [(info.name, info.size) for info in archive] == [("fits.jpg", 100), ("large.jpg", 0)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a.jpg", b"1"), ("a.jpg", b"1")),
        (("x/a.jpg", b"1"), ("./x//a.jpg", b"2")),
        (("notes", b"text"), ("notes", b"text")),
        (("photo", image("PNG")), ("photo", b"text")),
    ],
)
def test_two_members_of_one_name_are_refused(
    first: tuple[str, bytes], second: tuple[str, bytes], tmp_path: Path
) -> None:
    source = write_tar(tmp_path / "x.tar", [first, ("other.jpg", b"3"), second])
    with pytest.raises(UserError, match=f"two members are named '{first[0]}'"):
        split_into(tmp_path / "out", source)


@pytest.mark.parametrize("files", [[], [("notes.txt", b"text")]])
def test_a_source_without_photos_is_refused(files: list[tuple[str, bytes]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.tar holds no photo"):
        split_into(tmp_path / "out", write_tar(tmp_path / "x.tar", files))


def test_a_failed_split_leaves_the_shards_as_they_were(photos_tar: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made, _ = split_into(out, photos_tar)
    before = made.bytes()
    files = {path.name for path in out.iterdir()}
    assert files == {path.name for paths in made for path in paths}

    bad = write_tar(tmp_path / "bad.tar", [("a.jpg", b"1"), ("../b.jpg", b"2")])
    with pytest.raises(UserError):
        split_into(out, bad)
    assert made.bytes() == before
    assert {path.name for path in out.iterdir()} == files
    with pytest.raises(UserError):
        split_into(tmp_path / "new", bad)
    assert list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_split_left_does_no_harm(photos_tar: Path, tmp_path: Path) -> None:
    expected = split_into(tmp_path / "expected", photos_tar)[0].bytes()
    made = shards_in(tmp_path / "out", 4)
    for paths in made:
        for path in paths:
            path.with_name(path.name + ".part").write_bytes(b"left over")
    assert split_into(tmp_path / "out", photos_tar)[0].bytes() == expected


def test_photos_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    source = write_tar(tmp_path / "x.tar", ((f"{i}.jpg", bytes(1 << 20)) for i in range(24)))
    tracemalloc.start()
    try:
        made, _ = split_into(tmp_path / "out", source, buffer=2 << 20)
        assert sum(1 for _ in made.photos()) == 24
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    source = write_tar(tmp_path / "x.tar", ((f"{i}.jpg", bytes(100)) for i in range(600)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        made, counts = split_into(tmp_path / "out", source, count=400, buffer=1 << 18)
        assert counts == {"photos": 600}
        assert {photo.path for photo in made.photos()} == {f"{i}.jpg" for i in range(600)}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


NAMES = st.text(
    st.characters(exclude_characters="\0/\\", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: not name.startswith("._"))


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(files=st.dictionaries(NAMES, st.binary(max_size=600), min_size=1))
def test_any_name_comes_back(files: dict[str, bytes], tmp_path: Path) -> None:
    renamed = {f"photo {name}.jpg": data for name, data in files.items()}
    source = write_tar(tmp_path / "x.tar", renamed.items(), tarfile.PAX_FORMAT)
    made, _ = split_into(tmp_path / "out", source, count=2)
    assert {photo.path: photo.data for photo in made.photos()} == renamed


@needs_lfw
def test_lfw(tmp_path: Path) -> None:
    source = lfw_archive()
    assert source is not None
    made, counts = split_into(tmp_path / "out", source, count=16)
    assert counts == {"photos": 1601, "directory": 860}
    digests = {photo.path: photo.sha256 for photo in made.photos()}
    with tarfile.open(source) as archive:
        for info in archive:
            if info.isfile():
                data = content(archive, info)
                assert digests.pop(info.name) == hashlib.sha256(data).hexdigest()
    assert not digests
