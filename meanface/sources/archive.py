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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, Self, cast

import zstandard

from meanface.errors import UserError
from meanface.sources.entry import MAX_PATH, Entry, kind_of, refused
from meanface.sources.folder import Folder
from meanface.sources.formats import is_archive
from meanface.sources.ignore import Ignore
from meanface.sources.kinds import archive_kind
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
    data: bytes | None  # None: larger than max_bytes, not read; or `error` says why
    error: str = ""


@dataclass
class _Reading:
    """How the members of a source are read, and what came of it so far."""

    skipped: Counter[str]
    ignore: Ignore
    max_bytes: int
    max_total_bytes: float
    max_ratio: float
    zip_names: str
    unpacked: int = 0  # bytes of all members that were read

    def skips(self, source: Path, name: str, kind: str, path: str) -> bool:
        """Count what is neither ignored nor a file. Raises UserError for what is refused."""
        if kind == "other" or (kind == "file" and not path):
            raise refused(source, name, "is neither a file, a directory nor a link")
        if kind != "file":
            self.skipped[kind] += 1
        return kind != "file"

    def count(self, size: int) -> None:
        """Count a member that is read. Raises _LimitError."""
        self.unpacked += size
        if self.unpacked > self.max_total_bytes:
            raise _LimitError("max_total_bytes", self.max_total_bytes)


def read_members(
    source: Path,
    skipped: Counter[str],
    *,
    max_bytes: int,
    max_total_bytes: float = math.inf,
    max_ratio: float = math.inf,
    ignore: Sequence[str] = (),
    zip_names: str = "auto",
    archives: bool = False,
) -> Iterator[Member]:
    """Yield the regular files of a tar (plain, gz, bz2, xz, zst), a zip or a folder.

    The kind is told by content. Archives come in their own order, folders sorted by path; `source`
    may be a pattern in a folder, see Folder. With `archives`, files of a folder that are archives
    by their names (see is_archive) are read, too: their members' paths begin with that name.

    What is skipped is counted in `skipped`: `directory`, `link` (hard links of a tar too: it holds
    their content under another name) and `ignored` (see Ignore, whose patterns `ignore` are; a
    folder that is ignored in a folder counts as one). A member of more than `max_bytes` comes
    without its data, and so does a file of a folder that cannot be read.

    What a source holds, unpacked, is limited to `max_total_bytes`, and for an archive also to
    `max_ratio` times its own size (`max_bytes` where that is more: a small archive may hold a
    photo that compresses well). Counted are the bytes of the members that are read and, of a tar,
    all that it expands to; of a compressed archive only what is under the limit is ever unpacked.

    Names are bytes read as UTF-8. A zip may mark its names as UTF-8 or hold a UTF-8 copy of them;
    others have the encoding `zip_names`, or with auto are UTF-8 where they are valid as such, else
    cp437. A byte that cannot be read becomes `\\xHH`, and, so that no two names meet, the backslash
    of a name that spells out such a `\\xHH` becomes `\\x5c`.

    UserError: an absolute path or one with `..`, a device, pipe or socket, an encrypted member, a
    file of another kind, more than the limits allow, an archive that is damaged or cut short, and a
    folder that cannot be listed.
    """
    reading = _Reading(skipped, Ignore(ignore), max_bytes, max_total_bytes, max_ratio, zip_names)
    if folder := Folder.of(source):
        return _of_folder(folder, reading, archives)
    return _of_archive(source, "", reading)


def _of_archive(source: Path, prefix: str, reading: _Reading) -> Iterator[Member]:
    where = ""
    unpacked = 0
    try:
        by_ratio = max(reading.max_ratio * source.stat().st_size, reading.max_bytes)
        limits = _Limits(reading.max_total_bytes, by_ratio)
        for entry in _entries(source, limits, reading.zip_names):
            where = f" at or after member {entry.name[:MAX_PATH]!r}"
            inner = _relative_path(source, entry.name)
            path = prefix + inner if inner else ""
            if entry.kind != "directory" and reading.ignore.covers(path):
                reading.skipped["ignored"] += 1
                continue
            if reading.skips(source, entry.name, entry.kind, path):
                continue
            if entry.size > reading.max_bytes:
                yield Member(path, entry.size, None)
                continue
            unpacked += entry.size
            limits.check(unpacked)
            reading.count(entry.size)
            data = entry.read(entry.size + 1)
            if len(data) != entry.size:
                raise EOFError(f"not the {entry.size} bytes that its header announces")
            yield Member(path, entry.size, data)
    except _LimitError as error:
        raise error.told(source, where) from None
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{source} cannot be read{where}; is it damaged or cut short? {reason}"
        ) from error


def _of_folder(folder: Folder, reading: _Reading, archives: bool) -> Iterator[Member]:
    for name, status, error in folder.walk(reading.ignore):
        place = folder.path / name
        path = _relative_path(folder.path, name)
        if status is None and not error:
            reading.skipped["ignored"] += 1
        elif status and reading.skips(folder.path, name, kind_of(status.st_mode), path):
            pass
        elif archives and is_archive(name):
            yield from _of_archive(place, f"{path}/", reading)
        elif status and status.st_size > reading.max_bytes:
            yield Member(path, status.st_size, None)
        else:
            try:
                size = status.st_size if status else 0
                reading.count(size)
                yield _read_file(place, path, size, error)
            except _LimitError as limit:
                where = f" at or after member {name[:MAX_PATH]!r}"
                raise limit.told(folder.path, where) from None


def _read_file(place: Path, path: str, size: int, error: str) -> Member:
    """Read a file of a folder, unless the `error` tells that it could not even be looked at."""
    if not error:
        try:
            with place.open("rb") as file:
                data = file.read(size + 1)
            if len(data) == size:
                return Member(path, size, data)
            error = "its size changed while it was read"
        except OSError as failure:
            error = failure.strerror or str(failure)
    # Where not even its folder can be opened, more is wrong than this file: a mount that is gone.
    try:
        os.scandir(place.parent).close()
    except OSError as failure:
        raise UserError(f"{place.parent}: cannot be listed: {failure.strerror}") from failure
    return Member(path, 0, None, error)


class _LimitError(Exception):
    """There is more than `key` of the configuration allows."""

    def __init__(self, key: str, most: float) -> None:
        super().__init__(f"holds more than {most:.0f} bytes, unpacked, what {key} allows,")
        self.key = key

    def told(self, source: Path, where: str) -> UserError:
        return UserError(f"{source} {self}{where}; if you trust it, raise {self.key}")


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


def _entries(source: Path, limits: _Limits, zip_names: str) -> Iterator[Entry]:
    kind = archive_kind(source)
    if kind == "zip":
        return zip_entries(source, zip_names)
    return _tar_entries(_DECOMPRESSED[kind](source), limits)


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


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _gzip(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path))


def _zstd(path: Path) -> IO[bytes]:
    return zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)


_DECOMPRESSED: dict[str, Callable[[Path], IO[bytes]]] = {
    "tar": _plain,
    "gz": _gzip,
    "bz2": bz2.open,
    "xz": lzma.open,
    "zst": _zstd,
}
