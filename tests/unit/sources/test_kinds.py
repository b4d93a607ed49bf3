"""What is no source of photos is told at once, in one line that names the kind and the remedy."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from meanface.errors import UserError
from meanface.sources.archive import read_members
from meanface.sources.source import check_sources, sources_of
from tests.unit.sources.test_foreign_archives import DOS, Zipped, write_zip

CONFIG: dict[str, object] = {"mirrors": [], "sha256": None, "md5": None}


def refusal(photos: Path | str) -> str:
    """What a person is told before any job."""
    with pytest.raises(UserError) as caught:
        sources = sources_of(CONFIG | {"photos": str(photos)}, [Path("/nowhere")])
        check_sources(sources, max_bytes=1 << 20)
    message = str(caught.value)
    assert "\n" not in message
    assert str(photos) in message
    return message


def told_while_reading(source: Path) -> str:
    """What a person is told who did not have it looked at before, as with a download."""
    with pytest.raises(UserError) as caught:
        list(read_members(source, Counter(), max_bytes=1 << 20))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def image(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 20)).save(stream, kind)
    return stream.getvalue()


KINDS = {
    "rar4": (b"Rar!\x1a\x07\0" + bytes(600), "RAR archive: unpack it"),
    "rar5": (b"Rar!\x1a\x07\1\0" + bytes(600), "RAR archive: unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(600), "7z archive: unpack it"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(600), "lz4: unpack it"),
    "empty": (b"", "is empty"),
    "page": (b"<!DOCTYPE html><title>404</title>", "web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "jpeg": (image("JPEG"), "a single photo (JPEG): give its folder"),
    "png": (image("PNG"), "a single photo (PNG)"),
    "tiff": (image("TIFF"), "a single photo (TIFF)"),
    "webp": (image("WEBP"), "a single photo (WebP)"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(600), "a single photo (HEIC)"),
    "cr3": (b"\0\0\0\x18ftypcrx " + bytes(600), "a single photo (Canon CR3)"),
    "text": (b"some text", "neither a folder, a tar"),
    "photo.gz": (gzip.compress(image("BMP")), "a compressed photo (BMP): unpack it"),
    "text.xz": (lzma.compress(b"some text" * 100), "holds no tar: unpack it"),
    "tgz.bz2": (bz2.compress(gzip.compress(os.urandom(1000))), "holds no tar: unpack it"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named_with_the_remedy(kind: str, tmp_path: Path) -> None:
    content, expected = KINDS[kind]
    (tmp_path / "x").write_bytes(content)
    assert expected in refusal(tmp_path / "x")
    assert refusal(tmp_path / "x") == told_while_reading(tmp_path / "x")


@pytest.mark.parametrize(
    ("method", "name"),
    [(9, "deflate64"), (93, "zstd"), (95, "xz"), (98, "PPMd"), (6, "implode"), (77, "number 77")],
)
def test_an_unread_method_of_a_zip_is_named(method: int, name: str, tmp_path: Path) -> None:
    members = Zipped(b"Hopper\\1.jpg", b"1"), Zipped(b"Hopper\\2.jpg", b"2", DOS, 0, b"", method)
    source = write_zip(tmp_path / "x.zip", *members)
    expected = (
        "member 'Hopper/2.jpg' is compressed by a method that is not read "
        f"({name}): make it anew with zip"
    )
    assert refusal(source) == told_while_reading(source) == f"{source}: {expected}"


def test_a_member_too_large_to_be_read_may_have_any_method(tmp_path: Path) -> None:
    """Windows compresses files of more than 2 GB, such as videos, by deflate64."""
    video = Zipped(b"video.mp4", bytes(2 << 20), method=9)
    source = write_zip(tmp_path / "x.zip", video, Zipped(b"1.jpg", b"1"))
    check_sources(sources_of(CONFIG | {"photos": str(source)}, [Path("/")]), max_bytes=1 << 20)
    members = list(read_members(source, Counter(), max_bytes=1 << 20))
    assert [(member.path, member.data) for member in members] == [
        ("video.mp4", None),
        ("1.jpg", b"1"),
    ]


@pytest.mark.needs("zip")
def test_the_parts_of_a_split_zip_are_told_to_be_joined(tmp_path: Path) -> None:
    # zip 3.0 itself joins no member that lies in more than two parts.
    files = {f"{number}.jpg": os.urandom(40_000) for number in range(5)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    zipped = partial(subprocess.run, cwd=tmp_path, check=True)
    zipped(["zip", "-q", "-0", "-s", "64k", "split.zip", *files])
    for name in ("split.zip", "split.z01", "split.z02"):
        for message in (refusal(tmp_path / name), told_while_reading(tmp_path / name)):
            assert "part of a split zip: join it, zip -s 0 split.zip --out whole.zip" in message
    zipped(["zip", "-q", "-s", "0", "split.zip", "--out", "whole.zip"])
    members = read_members(tmp_path / "whole.zip", Counter(), max_bytes=1 << 20)
    assert {member.path: member.data for member in members} == files


def test_an_archive_in_pieces_is_told_to_be_joined(tmp_path: Path) -> None:
    data = gzip.compress(os.urandom(1000))
    for number in (1, 2):
        (tmp_path / f"x.tgz.{number:03}").write_bytes(data[500 * (number - 1) : 500 * number])
    assert "join all, cat x.tgz.0?? > whole" in refusal(tmp_path / "x.tgz.001")


def test_a_zip_that_is_cut_short_is_told_before_any_job(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "x.zip", Zipped(b"1.jpg", bytes(5000))).read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[:2000])
    assert "cut short" in refusal(tmp_path / "x.zip")


def test_an_encrypted_zip_is_told_before_any_job(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "x.zip", Zipped(b"1.jpg", flags=1))
    assert "'1.jpg' is encrypted" in refusal(source)


def test_good_sources_pass(tmp_path: Path) -> None:
    (tmp_path / "folder/a/b").mkdir(parents=True)
    (tmp_path / "folder/a/b/1.jpg").write_bytes(b"1")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.write(tmp_path / "folder/a/b/1.jpg")
    for option, name in (("-cf", "x.tar"), ("-czf", "x.tgz"), ("-cJf", "x.txz")):
        subprocess.run(["tar", "-C", tmp_path, option, tmp_path / name, "folder"], check=True)
    for name in ("folder", "x.zip", "x.tar", "x.tgz", "x.txz", "x.t*", "folder/a/*"):
        found = sources_of(CONFIG | {"photos": name}, [tmp_path])
        check_sources(found, max_bytes=100)
        assert found[0].is_folder == (name == "folder" or "*" in name)


def test_a_folder_without_files_is_told_before_any_job(tmp_path: Path) -> None:
    (tmp_path / "x/a/@eaDir").mkdir(parents=True)
    (tmp_path / "x/a/@eaDir/1.jpg").write_bytes(b"1")
    (tmp_path / "x/link.jpg").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds only ignored files" in refusal(tmp_path / "x")
    assert "holds no file" in refusal(tmp_path / "empty")
    assert "matches no file" in refusal(tmp_path / "x/*.tar")
    (tmp_path / "empty/link.jpg").symlink_to("nowhere")
    assert "holds only links, which meanface does not follow: give" in refusal(tmp_path / "empty")


def test_an_archive_without_files_is_told_before_any_job(tmp_path: Path) -> None:
    for name, members in (("empty", []), ("folder", ["a/"])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, "")
        assert "holds no file" in refusal(tmp_path / name)
    for name, compress in (("x.tar", bytes), ("x.tgz", gzip.compress), ("x.txz", lzma.compress)):
        (tmp_path / name).write_bytes(compress(bytes(tarfile.RECORDSIZE)))
        assert "holds no file" in refusal(tmp_path / name)


def test_a_pipe_is_told_before_any_job(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.zip")
    assert "neither a file nor a folder" in refusal(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("photos", "hint"),
    [
        (r"C:\Users\me\My Photos", "/mnt/c/Users/me/My Photos in WSL"),
        ("D:/party", "/mnt/d/party in WSL"),
        ("E:", "/mnt/e/ in WSL"),
        (r"\\nas\photos", "mount the Windows share"),
        ("//nas/photos", "mount the Windows share"),
        ("/a.zip,/b.zip", "photos='[/a.zip,/b.zip]'"),
        ("[/a.zip, /b.zip]", "are a list, not a text: photos='[one, other]' in single quotes only"),
    ],
)
def test_a_path_that_is_not_there_comes_with_a_hint(photos: str, hint: str) -> None:
    message = refusal(photos) if "\\" not in photos else refused_as(photos)
    assert "no such file or folder" in message
    assert hint in message


def refused_as(photos: str) -> str:
    with pytest.raises(UserError) as caught:
        sources_of(CONFIG | {"photos": photos}, [Path("/nowhere")])
    return str(caught.value)


def test_a_path_with_a_comma_that_is_there_is_read(tmp_path: Path) -> None:
    (tmp_path / "a, b").mkdir()
    (source,) = sources_of(CONFIG | {"photos": "a, b"}, [tmp_path])
    assert source.path == tmp_path / "a, b"


def test_the_results_may_lie_beside_what_a_pattern_names(tmp_path: Path) -> None:
    (tmp_path / "2019").mkdir()
    for pattern in ("20*", "*.tar", "*/*.jpg"):
        config = CONFIG | {"photos": pattern}
        if pattern == "*/*.jpg":
            with pytest.raises(UserError, match="results go into"):
                sources_of(config, [tmp_path])
        else:
            assert sources_of(config, [tmp_path])[0].path == tmp_path / pattern
    with pytest.raises(UserError, match=r"leave /\*\* out"):
        sources_of(CONFIG | {"photos": "20*/**"}, [tmp_path])


def test_a_pattern_in_a_list_is_called_like_its_folder(tmp_path: Path) -> None:
    (tmp_path / "tars").mkdir()
    (tmp_path / "more").mkdir()
    found = sources_of(CONFIG | {"photos": ["tars/*.tar", "more"]}, [tmp_path])
    assert [source.name for source in found] == ["tars", "more"]
