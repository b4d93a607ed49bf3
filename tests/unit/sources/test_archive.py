"""Archives and folders of every kind are read alike, and what cannot be trusted is refused."""

import bz2
import gzip
import io
import lzma
import os
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meanface.errors import UserError
from meanface.sources.archive import Member, read_members

FILES = {
    "b/two.jpg": b"second" * 300,
    "a/one.jpg": b"first",
    "empty.jpg": b"",
    "block.jpg": bytes(range(256)) * 2,
    "two\nlines, \"quoted\" = 'x'.jpg": b"odd",
    "-=José 日本 😀.jpg": b"not ASCII",
    "deep/" + "x" * 255: b"255 bytes",
}


def read(source: Path, max_bytes: int = 1 << 20) -> tuple[list[Member], Counter[str]]:
    skipped: Counter[str] = Counter()
    return list(read_members(source, skipped, max_bytes=max_bytes)), skipped


def refusal(source: Path, max_bytes: int = 1 << 20) -> str:
    with pytest.raises(UserError) as caught:
        read(source, max_bytes)
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    return str(caught.value)


def tar_bytes(files: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def tar_of(*members: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return stream.getvalue()


def info_of(name: str, type: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = type
    for key, value in more.items():
        setattr(info, key, value)
    return info


def zip_bytes(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def in_halves(compress: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], bytes]:
    """As parallel compressors write: several compressed streams, one after the other."""

    def archive(files: dict[str, bytes]) -> bytes:
        data = tar_bytes(files)
        return compress(data[:1000]) + compress(data[1000:])

    return archive


def zstd_skippable(files: dict[str, bytes]) -> bytes:
    frame = zstandard.ZstdCompressor().compress(tar_bytes(files))
    return struct.pack("<III", 0x184D2A50, 4, len(frame)) + frame  # as pzstd writes it


ARCHIVES: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "tar": tar_bytes,
    "tar-pax": lambda files: tar_bytes(files, tarfile.PAX_FORMAT),
    "gz": lambda files: gzip.compress(tar_bytes(files)),
    "bz2": lambda files: bz2.compress(tar_bytes(files)),
    "xz": lambda files: lzma.compress(tar_bytes(files)),
    "zst": lambda files: zstandard.ZstdCompressor().compress(tar_bytes(files)),
    "gz-streams": in_halves(gzip.compress),
    "bz2-streams": in_halves(bz2.compress),
    "xz-streams": in_halves(lzma.compress),
    "zst-frames": in_halves(zstandard.ZstdCompressor().compress),
    "zst-skippable": zstd_skippable,
    "zip": zip_bytes,
    "zip-stored": lambda files: zip_bytes(files, zipfile.ZIP_STORED),
    "zip-bz2": lambda files: zip_bytes(files, zipfile.ZIP_BZIP2),
    "zip-lzma": lambda files: zip_bytes(files, zipfile.ZIP_LZMA),
    "zip-self-extracting": lambda files: b"#!/bin/sh\n" + zip_bytes(files),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_of_every_kind_give_their_members_in_order(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "misleading.txt"  # the kind is told by content
    source.write_bytes(ARCHIVES[kind](FILES))
    members, skipped = read(source)
    assert [(m.path, m.size, m.data) for m in members] == [
        (path, len(data), data) for path, data in FILES.items()
    ]
    assert not skipped


def test_a_folder_gives_its_files_sorted_by_path(tmp_path: Path) -> None:
    for path, data in FILES.items() | {"b.jpg": b"before b/", "b0": b"after b/"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "empty").mkdir()
    members, skipped = read(tmp_path)
    assert {m.path: m.data for m in members} == FILES | {"b.jpg": b"before b/", "b0": b"after b/"}
    assert [m.path for m in members] == sorted(m.path for m in members)
    assert skipped == {"directory": 4}  # a, b, deep and empty; not the folder itself


@pytest.mark.parametrize("kind", ["tar", "gz", "zip"])
def test_an_archive_may_be_empty(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(ARCHIVES[kind]({}))
    assert read(tmp_path / "x") == ([], Counter())


@pytest.mark.parametrize("options", [["-cf"], ["-czf"], ["-cJf"], ["-cjf"], ["-cf", "--posix"]])
def test_what_gnu_tar_writes(options: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jpg").write_bytes(b"a")
    (folder / ("n" * 200)).write_bytes(b"long")
    (folder / "soft").symlink_to("sub/a.jpg")
    (folder / "hard").hardlink_to(folder / "sub" / "a.jpg")
    source = tmp_path / "x.tar"
    command, *more = options
    subprocess.run(["tar", *more, "-C", folder, "--sort=name", command, source, "."], check=True)
    members, skipped = read(source)
    assert {m.path: m.data for m in members} == {"n" * 200: b"long", "hard": b"a"}
    assert skipped == {"directory": 2, "link": 2}


@pytest.mark.parametrize("format", ["gnu", "posix"])
def test_an_incremental_backup_and_a_label_of_gnu_tar(format: str, tmp_path: Path) -> None:
    (tmp_path / "photos/Ann").mkdir(parents=True)
    (tmp_path / "photos/Ann/1.jpg").write_bytes(b"a")
    source = tmp_path / "x.tar"
    options = [f"--format={format}", f"--listed-incremental={tmp_path}/times", "--label=backup"]
    subprocess.run(["tar", *options, "-C", tmp_path, "-cf", source, "photos"], check=True)
    members, skipped = read(source)
    assert [(m.path, m.data) for m in members] == [("photos/Ann/1.jpg", b"a")]
    assert skipped["directory"] >= 2


def test_sparse_members_are_read_with_their_holes(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.seek(200_000)
        file.write(b"middle")
        file.truncate(400_000)
    (tmp_path / "next").write_bytes(b"after it")
    for options in (["--format=gnu"], ["--format=pax"]):
        source = tmp_path / "x.tar"
        subprocess.run(
            ["tar", "-S", *options, "-C", tmp_path, "-cf", source, "holes", "next"], check=True
        )
        assert source.stat().st_size < 100_000
        members, _ = read(source)
        assert [m.data for m in members] == [(tmp_path / "holes").read_bytes(), b"after it"]
        assert [m.data for m in read(source, 1000)[0]] == [None, b"after it"]


def test_what_is_ignored_directories_and_links_are_skipped_and_counted(tmp_path: Path) -> None:
    names = ["a.jpg", "._a.jpg", "x/._b.jpg", "x/.DS_Store", "__MACOSX/a.jpg", "y/__MACOSX/z/b.jpg"]
    keep = ["a._jpg", "x.DS_Store", "MACOSX/a.jpg"]
    files = dict.fromkeys(names + keep, b"1")
    expected = ["a.jpg", *keep]

    (tmp_path / "tar").write_bytes(
        tar_of(
            *(info_of(name, size=1) for name in files),
            info_of("./", tarfile.DIRTYPE),
            info_of("x", tarfile.DIRTYPE),
            info_of("soft", tarfile.SYMTYPE, linkname="../outside"),
            info_of("hard", tarfile.LNKTYPE, linkname="a.jpg"),
        )
    )
    members, skipped = read(tmp_path / "tar")
    assert [m.path for m in members] == expected
    assert skipped == {"ignored": 5, "directory": 2, "link": 2}

    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        for name in files:
            archive.writestr(name, b"1")
        archive.mkdir("x")
        link = zipfile.ZipInfo("soft")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../outside")
    members, skipped = read(tmp_path / "zip")
    assert [m.path for m in members] == expected
    assert skipped == {"ignored": 5, "directory": 1, "link": 1}

    folder = tmp_path / "folder"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1")
    (folder / "soft").symlink_to(tmp_path)
    members, skipped = read(folder)
    assert {m.path for m in members} == set(expected)
    assert skipped == {"ignored": 5, "directory": 3, "link": 1}


@pytest.mark.parametrize(
    ("name", "path"),
    [("./a.jpg", "a.jpg"), ("././x//y/./a.jpg", "x/y/a.jpg"), ("..a/b..", "..a/b.."), (" ", " ")],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_paths_are_brought_into_one_form(kind: str, name: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(ARCHIVES[kind]({name: b"1"}))
    assert [m.path for m in read(tmp_path / "x")[0]] == [path]


@pytest.mark.parametrize("name", ["/etc/x.jpg", "../x.jpg", "a/../../x.jpg", "a/..", "..", "//x"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_paths_that_lead_elsewhere_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(ARCHIVES[kind]({"good.jpg": b"1", name: b"1"}))
    message = refusal(tmp_path / "x")
    assert repr(name) in message
    assert ("absolute" if name.startswith("/") else "'..'") in message


@pytest.mark.parametrize("type", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_directories_and_links_that_lead_elsewhere_are_refused(type: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(tar_of(info_of("../up", type, linkname="a")))
    assert "'../up'" in refusal(tmp_path / "x")


@pytest.mark.parametrize("name", ["", ".", "zero\0byte.jpg", "long/" * 1000 + "x.jpg"])
def test_files_without_a_usable_name_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(tar_of(info_of("x", pax_headers={"path": name or "."})))
    assert "member" in refusal(tmp_path / "x")


@pytest.mark.parametrize("type", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"M"])
def test_devices_are_refused(type: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(tar_of(info_of("a.jpg"), info_of("strange", type)))
    assert "'strange'" in refusal(tmp_path / "x")


def test_zip_members_without_a_usable_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(zip_bytes({"a.jpg": b"1", ".": b"2"}))
    assert "member '.'" in refusal(tmp_path / "x")
    (tmp_path / "x").write_bytes(zip_bytes({"zero.jpg": b"1"}).replace(b"zero", b"\0ero"))
    assert "zero byte" in refusal(tmp_path / "x")


def test_devices_in_zips_and_folders_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        pipe = zipfile.ZipInfo("pipe")
        pipe.external_attr = 0o010644 << 16
        archive.writestr(pipe, "")
    assert "'pipe'" in refusal(tmp_path / "zip")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "pipe")
    assert "'pipe'" in refusal(tmp_path / "folder")


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"secret.jpg": b"1"}))
    data[data.index(b"PK\1\2") + 8] |= 1
    data[data.index(b"PK\3\4") + 6] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    message = refusal(tmp_path / "x.zip")
    assert "'secret.jpg'" in message
    assert "is encrypted:" in message


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "x.tar.gz"
    for content in (b"text", bytes(100), b"\xff\xd8" + bytes(2000)):
        source.write_bytes(content)
        assert "neither" in refusal(source)
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        source.write_bytes(compress(b"no tar"))
        refusal(source)
    assert "No such file" in refusal(tmp_path / "absent.zip")


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    files = {"a.jpg": b"1", "inner.zip": zip_bytes({"inner.jpg": b"2"}, zipfile.ZIP_STORED)}
    (tmp_path / "x").write_bytes(tar_bytes(files))
    assert zipfile.is_zipfile(tmp_path / "x")
    assert [m.path for m in read(tmp_path / "x")[0]] == list(files)


SMALL = {f"{i}.jpg": os.urandom(300 * i) for i in range(5)}


@pytest.mark.parametrize("kind", ["tar", "tar-pax", "gz", "bz2", "xz", "zst", "zip"])
def test_an_archive_cut_short_is_refused_wherever_it_ends(kind: str, tmp_path: Path) -> None:
    whole = ARCHIVES[kind](SMALL)
    end = len(whole)
    if kind.startswith("tar"):
        end = len(whole.rstrip(b"\0"))  # the end mark is there twice, and padded
    for length in {*range(1, end, 97), *range(512, end, 512), end - 1}:
        (tmp_path / "x").write_bytes(whole[:length])
        refusal(tmp_path / "x")
        refusal(tmp_path / "x", max_bytes=100)


def test_a_zip_cut_short_is_told_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(zip_bytes(SMALL)[:1000])
    assert "cut short" in refusal(tmp_path / "x")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    for last in ({"last.jpg": b"data"}, {"empty.jpg": b""}):
        data = bytearray(tar_bytes({"a.jpg": b"1"} | last))
        data[1024 + 150] ^= 1
        (tmp_path / "x").write_bytes(data)
        assert "at or after member 'a.jpg'" in refusal(tmp_path / "x")


def test_joined_tars_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(tar_bytes({"a.jpg": b"1"}) + tar_bytes({"b.jpg": b"2"}))
    assert "after the end mark" in refusal(tmp_path / "x")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_damaged_content_is_noticed(kind: str, tmp_path: Path) -> None:
    data = bytearray(ARCHIVES[kind]({"a.jpg": os.urandom(5000)}))
    data[2500] ^= 1
    (tmp_path / "x").write_bytes(data)
    refusal(tmp_path / "x")


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kind=st.sampled_from(["tar", "tar-pax", "gz", "zst", "zip"]), data=st.data())
def test_damage_anywhere_is_read_or_refused(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    archive = bytearray(ARCHIVES[kind](FILES))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "x").write_bytes(archive)
    try:
        members, _ = read(tmp_path / "x")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        for member in members:
            member.path.encode()


@pytest.mark.parametrize("kind", ["tar", "gz", "zip", "folder"])
def test_a_member_larger_than_max_bytes_comes_without_data(kind: str, tmp_path: Path) -> None:
    files = {"a.jpg": bytes(1001), "b.jpg": bytes(1000), "c.jpg": b"3"}
    source = tmp_path / "x"
    if kind == "folder":
        source.mkdir()
        for name, data in files.items():
            (source / name).write_bytes(data)
    else:
        source.write_bytes(ARCHIVES[kind](files))
    members, _ = read(source, max_bytes=1000)
    assert [(m.path, m.size, m.data) for m in members] == [
        ("a.jpg", 1001, None),
        ("b.jpg", 1000, bytes(1000)),
        ("c.jpg", 1, b"3"),
    ]


def peak(source: Path, max_bytes: int) -> int:
    """The most memory that reading took, in bytes, whether it ends well or in a refusal."""
    tracemalloc.start()
    try:
        for _ in read_members(source, Counter(), max_bytes=max_bytes):
            pass
    except UserError:
        pass
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


@pytest.mark.parametrize("kind", ["tar", "gz", "zst", "zip"])
def test_one_member_at_a_time_is_in_memory(kind: str, tmp_path: Path) -> None:
    piece = os.urandom(1 << 20)
    files = {f"{i}.jpg": piece for i in range(16)} | {"large.jpg": bytes(32 << 20)}
    (tmp_path / "x").write_bytes(ARCHIVES[kind](files))
    assert peak(tmp_path / "x", 1 << 20) < 8 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip_that_understates_a_size_is_refused_in_bounded_memory(
    method: int, tmp_path: Path
) -> None:
    true, told = struct.pack("<I", 96 << 20), struct.pack("<I", 20_000)
    data = zip_bytes({"a.jpg": bytes(96 << 20)}, method)
    (tmp_path / "x").write_bytes(data.replace(true, told))
    refusal(tmp_path / "x")
    assert peak(tmp_path / "x", 1 << 20) < 80 << 20


def test_many_members_take_no_more_memory_than_few(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(tar_bytes({f"{i}.jpg": b"" for i in range(3000)}))
    assert peak(tmp_path / "x", 1 << 20) < 1 << 20


@pytest.mark.parametrize("headers", [{"size": "-1000"}, {"size": str(1 << 60)}])
def test_an_impossible_size_is_refused(headers: dict[str, str], tmp_path: Path) -> None:
    names = ["a.jpg", "b.jpg"]
    (tmp_path / "x").write_bytes(tar_of(*(info_of(n, pax_headers=headers) for n in names)))
    refusal(tmp_path / "x")
    header = info_of("a.jpg", size=-512).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "x").write_bytes(header + bytes(2048))
    assert "impossible size" in refusal(tmp_path / "x")


def test_a_zip_that_overstates_a_size_is_refused(tmp_path: Path) -> None:
    true, told = struct.pack("<I", 1000), struct.pack("<I", 1001)
    (tmp_path / "x").write_bytes(zip_bytes({"a.jpg": bytes(1000)}).replace(true, told))
    assert "1001 bytes" in refusal(tmp_path / "x")


def test_a_header_that_overstates_a_size_is_refused(tmp_path: Path) -> None:
    data = bytearray(tar_of(info_of("a.jpg"), info_of("b.jpg")))
    header = info_of("a.jpg", size=1 << 60).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "x").write_bytes(header + bytes(data[512:]))
    assert "'a.jpg'" in refusal(tmp_path / "x")


def test_a_monstrous_name_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    name = info_of("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=64 << 20)
    (tmp_path / "x").write_bytes(gzip.compress(tar_of(info_of("a.jpg"), name, info_of("b.jpg"))))
    refusal(tmp_path / "x")
    assert peak(tmp_path / "x", 1 << 20) < 4 << 20


def test_names_that_are_not_utf8_stay_distinct_and_become_text(tmp_path: Path) -> None:
    names = [b"caf\xe9.jpg", rb"caf\xe9.jpg", rb"caf\x5cxe9.jpg", b"caf\xc3\xa9.jpg", rb"a\b.jpg"]
    paths = [r"caf\xe9.jpg", r"caf\x5cxe9.jpg", r"caf\x5cx5cxe9.jpg", "café.jpg", r"a\b.jpg"]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(name)
    expected = dict(zip(paths, names, strict=True))
    assert {m.path: m.data for m in read(folder)[0]} == expected

    source = tmp_path / "x.tar"
    for options in (["--format=gnu"], ["--format=pax"]):
        subprocess.run(["tar", *options, "-C", folder, "-cf", source, "."], check=True)
        assert {m.path: m.data for m in read(source)[0]} == expected


def test_zip_names_without_a_mark_are_utf8_or_cp437(tmp_path: Path) -> None:
    for name, path in ((b"caf\xc3\xa9.jpg", "café.jpg"), (b"caf\x82.jpg", "café.jpg")):
        data = zip_bytes({"c" * len(name): b"1"})
        (tmp_path / "x.zip").write_bytes(data.replace(b"c" * len(name), name))
        assert [m.path for m in read(tmp_path / "x.zip")[0]] == [path]


@given(st.lists(st.binary(min_size=1, max_size=8), min_size=2, max_size=2, unique=True))
def test_no_two_names_meet(names: list[bytes]) -> None:
    from meanface.sources.archive import _relative_path

    plain = [name for name in names if not {0, ord("/"), ord(".")} & set(name)]
    paths = [_relative_path(Path("x"), name.decode("utf-8", "surrogateescape")) for name in plain]
    assert len(set(paths)) == len(plain)
