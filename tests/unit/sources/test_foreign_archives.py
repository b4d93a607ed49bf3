"""Archives as other systems and programs make them: their names are read as their makers meant."""

import os
import struct
import subprocess
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from meanface.errors import UserError
from meanface.sources.archive import read_members

DOS, UNIX, OS2, NTFS, INFO_ZIP_NTFS, VFAT = 0, 3, 6, 10, 11, 14
UTF8 = 0x800  # the flag that marks a name as UTF-8


class Zipped(NamedTuple):
    """A member of a zip, stored; `method` and `flags` are what its headers announce."""

    name: bytes
    data: bytes = b"1"
    system: int = DOS
    flags: int = 0
    extra: bytes = b""
    method: int = 0


def write_zip(path: Path, *members: Zipped) -> Path:
    body = entries = b""
    for name, data, system, flags, extra, method in members:
        sizes = struct.pack("<3I", zlib.crc32(data), len(data), len(data))
        common = struct.pack("<4H", flags, method, 0, 33) + sizes
        lengths = struct.pack("<2H", len(name), len(extra))
        entries += b"PK\1\2" + bytes([20, system, 20, 0]) + common + lengths
        entries += struct.pack("<3H2I", 0, 0, 0, 0, len(body)) + name + extra
        body += b"PK\3\4" + bytes([20, 0]) + common + lengths + name + extra + data
    end = (0, 0, len(members), len(members), len(entries), len(body), 0)
    path.write_bytes(body + entries + b"PK\5\6" + struct.pack("<4H2IH", *end))
    return path


def read(source: Path, **options: Any) -> dict[str, bytes | None]:  # noqa: ANN401
    members = read_members(source, Counter(), max_bytes=1 << 20, **options)
    return {member.path: member.data for member in members}


def refusal(source: Path, **options: Any) -> str:  # noqa: ANN401
    with pytest.raises(UserError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    return str(caught.value)


def unzipped(source: Path, folder: Path) -> dict[str, bytes]:
    """What Info-ZIP's unzip makes of a zip."""
    folder.mkdir()
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    # 1 is its status where it warns of backslashes.
    done = subprocess.run(["unzip", "-q", source, "-d", folder], env=environment, check=False)
    assert done.returncode in (0, 1)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# --- backslashes --------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [DOS, OS2, NTFS, INFO_ZIP_NTFS, VFAT])
def test_backslashes_of_windows_separate_folders(system: int, tmp_path: Path) -> None:
    """As PowerShell 5 and .NET before 4.6.1 write them."""
    names = [b"Fotos\\Hopper\\", b"Fotos\\Hopper\\1.jpg", b"Fotos\\Collins\\1.jpg", b"2.jpg"]
    members = [Zipped(name, b"" if name.endswith(b"\\") else name, system) for name in names]
    source = write_zip(tmp_path / "x.zip", *members)
    skipped: Counter[str] = Counter()
    found = [member.path for member in read_members(source, skipped, max_bytes=100)]
    assert found == ["Fotos/Hopper/1.jpg", "Fotos/Collins/1.jpg", "2.jpg"]
    assert skipped == {"directory": 1}


@pytest.mark.needs("unzip")
def test_backslashes_are_read_as_unzip_reads_them(tmp_path: Path) -> None:
    members = [
        Zipped(b"a\\1.jpg", b"windows", DOS),
        Zipped(b"b\\2.jpg", b"unix", UNIX),
        Zipped(b"c/d\\3.jpg", b"both", DOS),
    ]
    source = write_zip(tmp_path / "x.zip", *members)
    expected = {"a/1.jpg": b"windows", r"b\2.jpg": b"unix", r"c/d\3.jpg": b"both"}
    assert read(source) == expected == unzipped(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"..\\up.jpg", "'..'"),
        (b"a\\..\\..\\up.jpg", "'..'"),
        (b"\\Windows\\x.jpg", "absolute"),
        (b"\\\\server\\share\\x.jpg", "absolute"),
        (b"C:\\x.jpg", "absolute"),
    ],
)
def test_backslashes_lead_nowhere_else(name: bytes, why: str, tmp_path: Path) -> None:
    assert why in refusal(write_zip(tmp_path / "x.zip", Zipped(b"good.jpg"), Zipped(name)))


def test_two_spellings_of_one_path_are_one_path(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "x.zip", Zipped(b"a\\1.jpg"), Zipped(b"a/1.jpg"))
    members = read_members(source, Counter(), max_bytes=100)
    assert [member.path for member in members] == ["a/1.jpg", "a/1.jpg"]


# --- encodings ----------------------------------------------------------------------------------

JAPANESE = "\u65e5\u672c/\u8868.jpg"  # cp932 has a backslash in the last of these letters


def unicode_path(name: str, raw: bytes, version: int = 1) -> bytes:
    """The extra field 0x7075 with a UTF-8 name for the name `raw`, after another field."""
    content = struct.pack("<BI", version, zlib.crc32(raw)) + os.fsencode(name)
    return struct.pack("<HHB", 0x5455, 1, 0) + struct.pack("<HH", 0x7075, len(content)) + content


@pytest.mark.needs("unzip")
@pytest.mark.parametrize("system", [DOS, UNIX])
def test_the_unicode_path_field_names_a_member(system: int, tmp_path: Path) -> None:
    raw = JAPANESE.encode("cp932")
    member = Zipped(raw, b"1", system, extra=unicode_path(JAPANESE, raw))
    source = write_zip(tmp_path / "x.zip", member)
    assert read(source) == {JAPANESE: b"1"} == unzipped(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("extra", "flags"),
    [
        (unicode_path("other.jpg", b"renamed since"), 0),
        (unicode_path("other.jpg", b"plain.jpg", version=2), 0),
        (unicode_path("other.jpg", b"plain.jpg"), UTF8),
        (struct.pack("<HH", 0x7075, 3) + b"\1ab", 0),
        (unicode_path("\udcff.jpg", b"plain.jpg"), 0),
    ],
    ids=["another name's", "a later version", "the name is UTF-8 itself", "cut short", "not UTF-8"],
)
def test_a_unicode_path_field_that_does_not_belong_is_passed_over(
    extra: bytes, flags: int, tmp_path: Path
) -> None:
    member = Zipped(b"plain.jpg", b"1", DOS, flags, extra)
    assert read(write_zip(tmp_path / "x.zip", member)) == {"plain.jpg": b"1"}


def test_a_unicode_path_field_leads_nowhere_else(tmp_path: Path) -> None:
    for name in ("../up.jpg", "..\\up.jpg", "/etc/x.jpg"):
        member = Zipped(b"plain.jpg", extra=unicode_path(name, b"plain.jpg"))
        refusal(write_zip(tmp_path / "x.zip", member))


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp932", JAPANESE),
        ("cp850", "Jos\u00e9/\u00d8.jpg"),
        ("cp866", "\u0410\u043d\u043d\u0430/1.jpg"),
        ("gb18030", "\u5f20/1.jpg"),
        ("cp1252", "Ren\u00e9e/1.jpg"),
    ],
)
def test_the_encoding_of_names_can_be_told(encoding: str, name: str, tmp_path: Path) -> None:
    source = write_zip(
        tmp_path / "x.zip",
        Zipped(name.encode(encoding), b"1"),
        Zipped("\u00fc.jpg".encode(), b"2", flags=UTF8),
    )
    assert read(source, zip_names=encoding) == {name: b"1", "\u00fc.jpg": b"2"}
    assert read(source) != read(source, zip_names=encoding)


def test_a_backslash_within_a_letter_separates_nothing(tmp_path: Path) -> None:
    raw = JAPANESE.replace("/", "\\").encode("cp932")
    assert raw.count(b"\\") == 2
    assert read(write_zip(tmp_path / "x.zip", Zipped(raw)), zip_names="cp932") == {JAPANESE: b"1"}


def test_bytes_that_the_encoding_lacks_stay_distinct(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "x.zip", Zipped(b"a\xff.jpg"), Zipped(b"a\xfe.jpg"))
    assert read(source, zip_names="ascii").keys() == {r"a\xff.jpg", r"a\xfe.jpg"}
