"""Reading the members of a zip: their names as the tools of their system meant them."""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from meanface.sources.entry import Entry, kind_of, refused

# APPNOTE.TXT of PKWARE: 4.4.4, general purpose flags; 4.4.2.2, systems whose separator is a
# backslash (DOS, OS/2, Windows; Info-ZIP's 11 for Windows); 4.6.9, the Unicode path extra field.
_ENCRYPTED, _UTF8 = 0x1, 0x800
_BACKSLASH_SYSTEMS = {0, 6, 10, 11, 14}
_UNICODE_PATH = 0x7075


def zip_entries(source: Path, names: str) -> Iterator[Entry]:
    """Yield the entries of a zip; `names` is the encoding of unmarked names, or auto.

    Raises UserError for an encrypted member and an absolute path, and what zipfile raises.
    """
    with zipfile.ZipFile(source) as archive:
        # zipfile needs 600 bytes a member: let go of each once it is read.
        infos = archive.infolist()
        archive.NameToInfo.clear()
        infos.reverse()
        while infos:
            info = infos.pop()
            name = _name(info, names)
            if info.create_system in _BACKSLASH_SYSTEMS and re.match("[A-Za-z]:/", name):
                raise refused(source, name, "has an absolute path")
            if info.flag_bits & _ENCRYPTED:
                raise refused(source, name, "is encrypted")
            mode = stat.S_IFMT(info.external_attr >> 16) or stat.S_IFREG
            kind = "directory" if name.endswith("/") else kind_of(mode)
            yield Entry(name, kind, info.file_size, partial(_read, archive, info))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> bytes:
    # All that a piece of bz2 or lzma expands to comes at once: take small pieces, sizes may lie.
    bounded = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    data = bytearray()
    with archive.open(info) as file:
        while len(data) < size and (piece := file.read(size if bounded else 4096)):
            data += piece
    return bytes(data)


def _name(info: zipfile.ZipInfo, encoding: str) -> str:
    """Give a member's name, separated by '/', as Info-ZIP's unzip reads it.

    PowerShell 5 and .NET before 4.6.1 write backslashes for separators.
    """
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        raw = name.encode("cp437")  # zipfile's decoding, undone
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
    """Give the name in the Unicode path extra field, "" where none belongs to the name `raw`."""
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + size]
        if tag == _UNICODE_PATH and field[:5] == struct.pack("<BI", 1, zlib.crc32(raw)):
            with suppress(UnicodeError):
                return field[5:].decode("utf-8")
        at += 4 + size
    return ""
