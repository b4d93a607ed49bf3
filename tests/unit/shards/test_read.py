"""Reading a shard: damage of any kind is noticed."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.unit.shards.making import Shards, mismatch, split_into, write_tar


@pytest.mark.parametrize("offset", [0, 100, 124, 150, 512, 1111, 1536, 2048, 3072, 3700])
def test_a_changed_byte_of_a_photo_is_noticed(offset: int, one: Shards) -> None:
    data = bytearray(one.tars[0].read_bytes())
    data[offset] ^= 1
    one.tars[0].write_bytes(data)
    assert f"{offset // 1536}.jpg" in mismatch(one)


@pytest.mark.parametrize("target", ["0.jpg", "1.jpg", "nowhere"])
@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file_is_noticed_and_no_link_followed(
    kind: bytes, target: str, one: Shards
) -> None:
    with tarfile.open(one.tars[0], "w") as archive:
        for number in range(3):
            info = tarfile.TarInfo(f"{number}.jpg")
            if number == 1:
                info.type, info.linkname = kind, target
                archive.addfile(info)
            else:
                info.size = 600
                archive.addfile(info, io.BytesIO(bytes([number]) * 600))
    assert "'1.jpg'" in mismatch(one)


def test_a_header_of_more_bytes_than_there_can_be_is_noticed(one: Shards) -> None:
    data = bytearray(one.tars[0].read_bytes())
    data[124:136] = b"\x80" + (1 << 63).to_bytes(11, "big")  # the size
    data[148:156] = b" " * 8
    data[156:157] = tarfile.XHDTYPE
    data[148:156] = b"%06o\0 " % sum(data[:512])
    one.tars[0].write_bytes(data)
    mismatch(one)


@pytest.mark.parametrize("length", [0, 511, 512, 700, 1536, 2000, 3072, 4000])
def test_a_shard_cut_short_is_noticed(length: int, one: Shards) -> None:
    one.tars[0].write_bytes(one.tars[0].read_bytes()[:length])
    mismatch(one)


def test_photos_missing_added_or_changed_are_noticed(one: Shards) -> None:
    photos = [(f"{i}.jpg", bytes([i]) * 600) for i in range(3)]
    for files, said in (
        (photos[:2], "'2.jpg'"),
        (photos[1:], "'0.jpg'"),
        ([*photos, ("3.jpg", b"")], "'3.jpg'"),
        ([photos[0], ("1.jpg", b"1" * 600), photos[2]], "'1.jpg'"),
        ([photos[0], ("1.jpg", b"1" * 601), photos[2]], "'1.jpg'"),
        ([photos[0], ("other.jpg", photos[1][1]), photos[2]], "'1.jpg'"),
    ):
        write_tar(one.tars[0], files)
        assert said in mismatch(one)


def test_content_of_a_photo_that_was_too_large_is_noticed(tmp_path: Path) -> None:
    source = write_tar(tmp_path / "x.tar", [("large.jpg", bytes(101))])
    made, _ = split_into(tmp_path / "out", source, count=1, max_bytes=100)
    write_tar(made.tars[0], [("large.jpg", bytes(101))])
    assert "'large.jpg'" in mismatch(made)
