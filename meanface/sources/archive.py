"""Read the members of an archive or a folder as a stream: one pass, one member in memory."""

import math
import os
import re
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, Self, cast

from meanface.errors import UserError
from meanface.sources.compression import DAMAGED, open_unpacked
from meanface.sources.entry import MAX_PATH, Entry, kind_of, refused
from meanface.sources.folder import Folder
from meanface.sources.formats import is_archive
from meanface.sources.ignore import Ignore
from meanface.sources.kinds import archive_kind, check_tar
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

# GNU tar has types for the directories of an incremental backup, and for a label.
_WITHOUT_FILE = (b"D", b"V")

# Damaged archives raise these. RuntimeError includes zipfile's error for a method it cannot read.
_UNREADABLE = (
    *DAMAGED,
    OverflowError,
    RuntimeError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive or folder."""

    path: str  # relative, separated by '/', valid UTF-8
    size: int  # bytes
    data: bytes | None  # None if larger than max_bytes, or if `error` says why
    error: str = ""


@dataclass
class _Reading:
    """The settings for reading a source, and the counts so far."""

    skipped: Counter[str]
    ignore: Ignore
    max_bytes: int
    max_total_bytes: float
    max_ratio: float
    zip_names: str
    unpacked: int = 0  # bytes of all members that were read

    def skips(self, source: Path, name: str, kind: str, path: str) -> bool:
        """Tell whether a member is no file, and count it then. UserError for a refused kind."""
        if kind == "other" or (kind == "file" and not path):
            raise refused(source, name, "is neither a file, a directory nor a link")
        if kind != "file":
            self.skipped[kind] += 1
        return kind != "file"

    def count(self, size: int) -> None:
        """Count the bytes of a member that is read. Raises _LimitError."""
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

    The content tells the kind. The members of an archive come in the order of the archive, the
    files of a folder sorted by path. `source` may be a pattern in a folder, see Folder. With
    `archives`, archives in a folder (see is_archive) are read as well. The paths of their members
    then begin with the name of the archive.

    `skipped` counts what is skipped: `directory`, `link` and `ignored`. Hard links of a tar count
    as links, because the tar holds their content under another name. `ignore` holds the patterns of
    ignored files, see Ignore. An ignored folder in a folder counts once. A member of more than
    `max_bytes` comes without data, and so does a file of a folder that cannot be read.

    The unpacked bytes of a source are limited to `max_total_bytes`. For an archive, `max_ratio`
    times the size of the archive is a second limit. This limit is at least `max_bytes`, because a
    small archive may hold a photo that compresses well. The limits count the bytes of the members
    that are read, and all bytes of an unpacked tar. A compressed archive is never unpacked beyond a
    limit.

    Names are bytes that are read as UTF-8. A zip may mark a name as UTF-8, or hold a UTF-8 copy of
    the name. Other names of a zip have the encoding `zip_names`; `auto` means UTF-8 if the name is
    valid UTF-8, else cp437. A byte that cannot be read becomes `\\xHH`. In a name that already
    contains the text `\\xHH`, the backslash becomes `\\x5c`, so that names stay distinct.

    Raises UserError for
    * an absolute path, or a path with `..`,
    * a device, pipe or socket, an encrypted member, and a file of another kind,
    * an exceeded limit,
    * an archive that is damaged or cut short, and a folder that cannot be listed.
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
    """Read a file of a folder, unless `error` says that its status could not be read."""
    if not error:
        try:
            with place.open("rb") as file:
                data = file.read(size + 1)
            if len(data) == size:
                return Member(path, size, data)
            error = "its size changed while it was read"
        except OSError as failure:
            error = failure.strerror or str(failure)
    # If the folder cannot be opened either, the fault is not the file's: a mount may be gone.
    try:
        os.scandir(place.parent).close()
    except OSError as failure:
        raise UserError(f"{place.parent}: cannot be listed: {failure.strerror}") from failure
    return Member(path, 0, None, error)


class _LimitError(Exception):
    """A source exceeds the limit `key` of the configuration."""

    def __init__(self, key: str, most: float) -> None:
        super().__init__(f"holds more than the {most:.0f} unpacked bytes that {key} allows")
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
    check_tar(source, kind)
    return _tar_entries(open_unpacked(source, kind), limits)


def _tar_entries(stream: IO[bytes], limits: _Limits) -> Iterator[Entry]:
    limited = cast(IO[bytes], _Limited(stream, limits))
    with stream, tarfile.open(fileobj=limited, mode="r|", tarinfo=_StrictTarInfo) as archive:
        while info := archive.next():
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
            if info.issym() or info.islnk():
                kind = "link"
            else:
                kind = "file" if info.isfile() else "other"
                if info.isdir() or info.type in _WITHOUT_FILE:
                    kind = "directory"
            yield Entry(info.name, kind, info.size, partial(_read_tarred, archive, info))
            # Skip what was not read, because tarfile itself would loop on a wrong size.
            while (left := archive.offset - archive.fileobj.tell()) > 0:
                if not archive.fileobj.read(min(left, _BLOCK)):
                    raise EOFError("unexpected end of data")
        # Read to the end: this verifies the stream's checksum and finds an appended tar.
        while block := archive.fileobj.read(_BLOCK):
            if block.strip(b"\0"):
                raise tarfile.ReadError("data after the end mark")


def _read_tarred(archive: tarfile.TarFile, info: tarfile.TarInfo, size: int) -> bytes:
    content = archive.extractfile(info)
    return content.read(size) if content else b""


class _StrictTarInfo(tarfile.TarInfo):
    """Raises ReadError for a damaged or missing header, which tarfile takes for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) == tarfile.BLOCKSIZE and not buf.strip(b"\0"):
            return super().frombuf(buf, encoding, errors)  # raises the error that means the end
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
        if buf[257:265] == b"ustar  \0":
            # A header of GNU tar has no prefix. The field holds the times of an incremental backup.
            times = bytes(buf[345:500]).partition(b"\0")[0].decode(encoding, errors)
            info.name = info.name.removeprefix(f"{times}/" if times else "")
        if info.size < 0 or (info.type in _EXTENSIONS and info.size > _MAX_HEADER):
            raise tarfile.ReadError("header of an impossible size")
        return info
