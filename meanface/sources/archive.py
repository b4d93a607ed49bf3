"""Reading the members of an archive or a folder as a stream: one pass, one member in memory."""

import bz2
import gzip
import lzma
import math
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, Self, cast

import zstandard

from meanface.errors import UserError
from meanface.sources.entry import MAX_PATH, Entry, kind_of, refused
from meanface.sources.zip_archive import zip_entries

_BLOCK = 1 << 20  # bytes passed over at a time
_MAX_HEADER = 1 << 20  # bytes of one tar extension header (a long name, extended attributes)
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

# What the standard library and zstandard raise on damaged archives. NotImplementedError (a zip
# compression that zipfile lacks) is a RuntimeError, UnicodeError a ValueError; MemoryError comes
# from headers that ask for gigabytes.
_UNREADABLE = (
    OSError,
    EOFError,
    OverflowError,
    ValueError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zstandard.ZstdError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive or folder."""

    path: str  # relative, separated by '/', valid UTF-8
    size: int  # bytes
    data: bytes | None  # None: larger than max_bytes, not read


def read_members(
    source: Path,
    skipped: Counter[str],
    *,
    max_bytes: int,
    max_total_bytes: float = math.inf,
    max_ratio: float = math.inf,
    zip_names: str = "auto",
) -> Iterator[Member]:
    """Yield the regular files of a tar (plain, gz, bz2, xz, zst), a zip or a folder.

    The kind is told by content. Archives come in their own order, folders sorted by path. What is
    skipped is counted in `skipped` as `directory`, `link` (hard links of a tar too: it holds their
    content under another name) or `dropping` (`._*`, `.DS_Store` and `__MACOSX` of macOS). A
    member of more than `max_bytes` comes without its data.

    What a source holds, unpacked, is limited to `max_total_bytes`, and for an archive also to
    `max_ratio` times its own size (`max_bytes` where that is more: a small archive may hold a
    photo that compresses well). Counted are the bytes of the members that are read and, of a tar,
    all that it expands to; of a compressed archive only what is under the limit is ever unpacked.

    Names are bytes read as UTF-8. A zip may mark its names as UTF-8 or hold a UTF-8 copy of them;
    others have the encoding `zip_names`, or with auto are UTF-8 where they are valid as such, else
    cp437. A byte that cannot be read becomes `\\xHH`, and, so that no two names meet, the backslash
    of a name that spells out such a `\\xHH` becomes `\\x5c`.

    UserError: an absolute path or one with `..`, a device, pipe or socket, an encrypted member, a
    file of another kind, more than the limits allow, and an archive that is damaged or cut short.
    """
    where = ""
    unpacked = 0
    try:
        by_ratio = math.inf
        if not source.is_dir():
            by_ratio = max(max_ratio * source.stat().st_size, max_bytes)
        limits = _Limits(max_total_bytes, by_ratio)
        for entry in _entries(source, limits, zip_names):
            where = f" at or after member {entry.name[:MAX_PATH]!r}"
            path = _relative_path(source, entry.name)
            if entry.kind == "other" or (entry.kind == "file" and not path):
                raise refused(source, entry.name, "is neither a file, a directory nor a link")
            if entry.kind != "file":
                skipped[entry.kind] += 1
            elif _is_dropping(path):
                skipped["dropping"] += 1
            elif entry.size > max_bytes:
                yield Member(path, entry.size, None)
            else:
                unpacked += entry.size
                limits.check(unpacked)
                data = entry.read(entry.size + 1)
                if len(data) != entry.size:
                    raise EOFError(f"not the {entry.size} bytes that its header announces")
                yield Member(path, entry.size, data)
    except _LimitError as error:
        raise UserError(f"{source} {error}{where}; if you trust it, raise {error.key}") from None
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{source} cannot be read{where}; is it damaged or cut short? {reason}"
        ) from error


class _LimitError(Exception):
    """There is more than `key` of the configuration allows."""

    def __init__(self, key: str, most: float) -> None:
        super().__init__(f"holds more than {most:.0f} bytes, unpacked, what {key} allows,")
        self.key = key


class _Limits(NamedTuple):
    """How many bytes may be unpacked."""

    max_total_bytes: float
    max_ratio: float

    def check(self, unpacked: int) -> None:
        for key, most in self._asdict().items():
            if unpacked > most:
                raise _LimitError(key, most)


class _Limited:
    """A stream of unpacked bytes that ends in _LimitError."""

    def __init__(self, stream: IO[bytes], limits: _Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._unpacked = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._unpacked += len(data)
        self._limits.check(self._unpacked)
        return data


def _relative_path(source: Path, name: str) -> str:
    parts = name.split("/")
    if name.startswith("/"):
        raise refused(source, name, "has an absolute path")
    if ".." in parts:
        raise refused(source, name, "has '..' in its path")
    if "\0" in name:
        raise refused(source, name, "has a zero byte in its path")
    if len(name) > MAX_PATH:
        raise refused(source, name, f"has a path of more than {MAX_PATH} characters")
    path = "/".join(part for part in parts if part not in ("", "."))
    path = re.sub(r"\\(?=x[0-9a-f]{2})", r"\\x5c", path)
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_dropping(path: str) -> bool:
    *folders, name = path.split("/")
    return name.startswith("._") or name == ".DS_Store" or "__MACOSX" in folders


def _entries(source: Path, limits: _Limits, zip_names: str) -> Iterator[Entry]:
    if source.is_dir():
        return _folder_entries(source)
    with source.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    for magic, decompressed in _DECOMPRESSED.items():
        if head.startswith(magic):
            return _tar_entries(decompressed(source), limits)
    # A plain tar before zip: zipfile would take a tar that ends with a zip for that zip.
    if _is_tar_header(head):
        return _tar_entries(_plain(source), limits)
    if head.startswith(b"PK\3\4") or zipfile.is_zipfile(source):
        return zip_entries(source, zip_names)
    raise UserError(
        f"{source} is neither a folder, a tar (plain, gz, bz2, xz or zst) nor a zip: "
        "give a whole archive of one of these kinds"
    )


def _folder_entries(source: Path) -> Iterator[Entry]:
    todo = [""]  # paths, the next one last; those of folders end with '/'
    while todo:
        name = todo.pop()
        path = source / name
        if name.endswith("/"):
            yield Entry(name, "directory", 0, partial(_read_file, path))
        elif name:
            status = path.lstat()
            yield Entry(name, kind_of(status.st_mode), status.st_size, partial(_read_file, path))
            continue
        with os.scandir(path) as found:
            names = [item.name + "/" * item.is_dir(follow_symlinks=False) for item in found]
        todo += [name + child for child in sorted(names, reverse=True)]


def _read_file(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _tar_entries(stream: IO[bytes], limits: _Limits) -> Iterator[Entry]:
    limited = cast(IO[bytes], _Limited(stream, limits))
    with stream, tarfile.open(fileobj=limited, mode="r|", tarinfo=_StrictTarInfo) as archive:
        while info := archive.next():
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
            if info.issym() or info.islnk():
                kind = "link"
            else:
                kind = "file" if info.isfile() else "directory" if info.isdir() else "other"
            yield Entry(info.name, kind, info.size, partial(_read_tarred, archive, info))
            # Pass over what was not read; tarfile itself would spin on a size that lies.
            while (left := archive.offset - archive.fileobj.tell()) > 0:
                if not archive.fileobj.read(min(left, _BLOCK)):
                    raise EOFError("unexpected end of data")
        # To the end of the stream: checks its checksum, and loses no tar appended to the first.
        while block := archive.fileobj.read(_BLOCK):
            if block.strip(b"\0"):
                raise tarfile.ReadError("data after the end mark")


def _read_tarred(archive: tarfile.TarFile, info: tarfile.TarInfo, size: int) -> bytes:
    content = archive.extractfile(info)
    return content.read(size) if content else b""


class _StrictTarInfo(tarfile.TarInfo):
    """tarfile takes a damaged header, or none at all, for the end of the archive: this does not."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) == tarfile.BLOCKSIZE and not buf.strip(b"\0"):
            return super().frombuf(buf, encoding, errors)  # raises the true end of the archive
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
        if info.size < 0 or (info.type in _EXTENSIONS and info.size > _MAX_HEADER):
            raise tarfile.ReadError("header of an impossible size")
        return info


def _is_tar_header(head: bytes) -> bool:
    if len(head) == tarfile.BLOCKSIZE and not head.strip(b"\0"):
        return True  # the end mark of an empty tar
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _gzip(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path))


def _zstd(path: Path) -> IO[bytes]:
    return zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)


_DECOMPRESSED: dict[bytes, Callable[[Path], IO[bytes]]] = {
    b"\x1f\x8b": _gzip,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\x50\x2a\x4d\x18": _zstd,  # the skippable frame that pzstd starts with
}
