"""Read the members of a zip, with names as the system that made the zip wrote them."""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from meanface.errors import UserError
from meanface.sources.entry import MAX_PATH, Entry, kind_of, refused

# PKWARE's APPNOTE.TXT: flags (4.4.4), systems that separate by backslash (4.4.2.2: DOS, OS/2,
# Windows, and Info-ZIP's 11 for Windows), and the Unicode path extra field (4.6.9).
_ENCRYPTED, _UTF8 = 0x1, 0x800
_BACKSLASH_SYSTEMS = {0, 6, 10, 11, 14}
_UNICODE_PATH = 0x7075
# 4.4.5: the methods that zipfile reads in every version of Python, and the names of others.
_METHODS = {
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
}
_UNREAD = {
    **{1: "shrink", 6: "implode", 9: "deflate64", 10: "PKWARE implode", 20: "zstd", 93: "zstd"},
    **{94: "MP3", 95: "xz", 96: "JPEG", 97: "WavPack", 98: "PPMd"},
}
_END = 76 + 22 + (1 << 16)  # bytes: Zip64's records, and the end record with the longest comment
_IN_ZIP64 = 0xFFFF
_MEMBER = 30 + 46  # bytes: the two headers of a member, 4.3.7 and 4.3.12


def check_zip(source: Path, max_bytes: int) -> None:
    """Raise UserError for a zip that is cut short, split, empty, or has unread members.

    Members of more than `max_bytes` do not matter: their content is never read.
    """
    try:
        _check_whole(source)
        with zipfile.ZipFile(source) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise UserError(f"{source} cannot be read; is it damaged or cut short? {error}") from error
    if all(info.is_dir() for info in infos):
        raise UserError(f"{source} holds no file: give an archive or folder of photos")
    for info in infos:
        if info.file_size <= max_bytes:
            _check(source, info)


def count_members(source: Path) -> int:
    """Give the number of members that the end of a zip names; 0 where the end is damaged.

    APPNOTE 4.3.14 and 4.3.16: a count of 65,535 means that the Zip64 record has the count. A zip
    has no more members than there is room for.
    """
    tail = _tail(source)
    at = tail.rfind(b"PK\5\6")
    count = int.from_bytes(tail[at + 10 : at + 12], "little") if at >= 0 else 0
    at_64 = tail.rfind(b"PK\6\6", 0, max(at, 0))
    if count == _IN_ZIP64 and at_64 >= 0:
        count = int.from_bytes(tail[at_64 + 32 : at_64 + 40], "little")
    return min(count, source.stat().st_size // _MEMBER)


def split_zip(path: Path) -> UserError:
    """Give the error for a part of a split zip."""
    whole = path.with_suffix(".zip").name
    return UserError(
        f"{path} is a part of a split zip: join it, zip -s 0 {whole} --out whole.zip, "
        "or unpack it with 7-Zip and give the folder"
    )


def _check_whole(source: Path) -> None:
    """Raise UserError for the last part of a split zip: APPNOTE 4.3.16, number of this disk."""
    tail = _tail(source)
    at = tail.rfind(b"PK\5\6")
    if at >= 0 and tail[at + 4 : at + 6] not in (b"", b"\0\0", b"\xff\xff"):
        raise split_zip(source)


def _tail(source: Path) -> bytes:
    """Read the end of a zip, in which the end record is."""
    with source.open("rb") as file:
        file.seek(max(0, source.stat().st_size - _END))
        return file.read()


def _check(source: Path, info: zipfile.ZipInfo) -> None:
    """Raise UserError for a member whose content cannot be read."""
    if info.flag_bits & _ENCRYPTED:
        raise refused(source, _name(info, "auto"), "is encrypted")
    if info.compress_type not in _METHODS:
        name = _name(info, "auto")[:MAX_PATH]
        method = _UNREAD.get(info.compress_type, f"number {info.compress_type}")
        raise UserError(
            f"{source}: member {name!r} is compressed by a method that is not read ({method}): "
            "make it anew with zip"
        )


def zip_entries(source: Path, names: str) -> Iterator[Entry]:
    """Yield the entries of a zip; `names` is the encoding of unmarked names, or auto.

    Raises UserError for an absolute path and for a part of a split zip. `Entry.read` raises
    UserError for a member that is encrypted or compressed by an unread method. Both may raise any
    error of zipfile.
    """
    _check_whole(source)
    with zipfile.ZipFile(source) as archive:
        # zipfile keeps 600 bytes per member, so each member is released once it is read.
        infos = archive.infolist()
        archive.NameToInfo.clear()
        infos.reverse()
        while infos:
            info = infos.pop()
            name = _name(info, names)
            if info.create_system in _BACKSLASH_SYSTEMS and re.match("[A-Za-z]:/", name):
                raise refused(source, name, "has an absolute path")
            mode = stat.S_IFMT(info.external_attr >> 16) or stat.S_IFREG
            kind = "directory" if name.endswith("/") else kind_of(mode)
            yield Entry(name, kind, info.file_size, partial(_read, source, archive, info))


def _read(source: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> bytes:
    _check(source, info)
    # bz2 and lzma expand a piece at once, and sizes may be wrong, so pieces are small.
    bounded = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    data = bytearray()
    with archive.open(info) as file:
        while len(data) < size and (piece := file.read(size if bounded else 4096)):
            data += piece
    return bytes(data)


def _name(info: zipfile.ZipInfo, encoding: str) -> str:
    """Give a member's name, separated by '/', as Info-ZIP's unzip reads it.

    PowerShell 5 and .NET before 4.6.1 separate folders by backslashes.
    """
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        raw = name.encode("cp437")  # undoes zipfile's decoding
        name = _unicode_path(info.extra, raw) or _decoded(raw, encoding)
    if info.create_system in _BACKSLASH_SYSTEMS and "/" not in name:
        name = name.replace("\\", "/")
    return name


def _decoded(raw: bytes, encoding: str) -> str:
    if encoding != "auto":
        return raw.decode(encoding, "surrogateescape")
    with suppress(UnicodeError):
        return raw.decode("utf-8")
    return raw.decode("cp437")


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """Give the name in the Unicode path extra field; "" if no field belongs to the name `raw`."""
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + size]
        if tag == _UNICODE_PATH and field[:5] == struct.pack("<BI", 1, zlib.crc32(raw)):
            with suppress(UnicodeError):
                return field[5:].decode("utf-8")
        at += 4 + size
    return ""
