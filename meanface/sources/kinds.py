"""Tell what kind of source a path is, and what to do with a kind that is not read."""

import re
import stat
import tarfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from meanface.errors import UserError
from meanface.sources.compression import DAMAGED, open_unpacked
from meanface.sources.folder import Folder
from meanface.sources.formats import image_kind
from meanface.sources.ignore import Ignore
from meanface.sources.zip_archive import check_zip, split_zip

UNPACK = "unpack it, and give the folder"
# The first bytes of each compression. 0x184D2A50 is the skippable frame of pzstd.
_COMPRESSED = {
    "gz": rb"\x1f\x8b",
    "bz2": rb"BZh",
    "xz": rb"\xfd7zXZ\0",
    "zst": rb"\x28\xb5\x2f\xfd|\x50\x2a\x4d\x18",
}
# Files that are not read: their first bytes, their name, what to do.
_UNREAD = (
    (rb"Rar!\x1a\x07", "is a RAR archive", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "is a 7z archive", UNPACK),
    (rb"MSCF", "is a CAB archive", UNPACK),
    (rb"..-lh.-", "is an LHA archive", UNPACK),
    (rb"LZIP", "is compressed with lzip", UNPACK),
    (rb"\x04\x22\x4d\x18", "is compressed with lz4", UNPACK),
    (rb"\x1f\x9d", "is compressed with compress", UNPACK),
    (rb"07070[127]|\xc7\x71", "is a cpio archive", UNPACK),
    (rb"!<arch>", "is an ar archive", UNPACK),
    (rb"%PDF-", "is a PDF", "give its photos as a folder or an archive"),
    (rb"\s*<(?:!doctype|html|\?xml)", "is a web page, not an archive", "download it again"),
    (rb"version https://git-lfs", "is a pointer of Git LFS", "run git lfs pull"),
)


def unread_kind(path: Path, head: bytes) -> str:
    """Say what kind of file that is not read has these first bytes, and what to do."""
    for pattern, what, remedy in _UNREAD:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f"{path} {what}: {remedy}"
    if not head:
        return f"{path} is empty: was it copied or downloaded whole?"
    if kind := image_kind(head):
        return f"{path} is a single photo ({kind}): give its folder, or an archive of photos"
    return (
        f"{path} is neither a folder, a tar (plain, gz, bz2, xz or zst) nor a zip: "
        "give a whole archive of one of these kinds"
    )


def archive_kind(path: Path) -> str:
    """Tell tar, gz, bz2, xz, zst or zip by content.

    Raises OSError, and UserError for any other kind: the message says what to do.
    """
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if re.search(r"\.\d{3}$", path.name) and path.with_suffix(".002").exists():
        raise UserError(f"{path} is a part of an archive: join all, cat {path.stem}.0?? > whole")
    if head.startswith(b"PK\7\x08") or re.search(r"\.z\d\d$", path.name.lower()):
        raise split_zip(path)
    for kind, pattern in _COMPRESSED.items():
        if re.match(pattern, head):
            return kind
    # Check for a plain tar first, because zipfile reads a tar that ends with a zip as that zip.
    if _is_tar_header(head):
        return "tar"
    if head.startswith(b"PK\3\4") or zipfile.is_zipfile(path):
        return "zip"
    raise UserError(unread_kind(path, head))


def check_tar(path: Path, kind: str) -> None:
    """Raise UserError for a file that was compressed and is no tar. A damaged file passes."""
    head = _unpacked_head(path, kind)
    if len(head) == tarfile.BLOCKSIZE and not _is_tar_header(head):
        photo = image_kind(head)
        what = f"is a compressed photo ({photo})" if photo else "holds no tar"
        raise UserError(f"{path} {what}: {UNPACK}")


def _unpacked_head(path: Path, kind: str) -> bytes:
    with suppress(*DAMAGED), open_unpacked(path, kind) as stream:
        return stream.read(tarfile.BLOCKSIZE)
    return b""


def check_place(place: Path, ignore: Sequence[str], max_bytes: int) -> None:
    """Raise UserError if a short look shows that a path is no source of photos.

    Reads the first bytes of an archive and the directory of a zip. A folder must hold a file.
    """
    try:
        if folder := Folder.of(place):
            _check_holds_file(folder, place, ignore)
        elif not place.is_file():
            raise UserError(f"{place} is neither a file nor a folder: give an archive or folder")
        elif (kind := archive_kind(place)) == "zip":
            check_zip(place, max_bytes)
        else:
            check_tar(place, kind)
            if _unpacked_head(place, kind) == bytes(tarfile.BLOCKSIZE):
                raise UserError(f"{place} holds no file: give an archive or folder of photos")
    except OSError as error:
        raise UserError(f"{place}: cannot be read: {error.strerror}") from error


def _check_holds_file(folder: Folder, place: Path, ignore: Sequence[str]) -> None:
    ignored = links = False
    for _, status, _ in folder.walk(Ignore(ignore)):
        if status and stat.S_ISREG(status.st_mode):
            return
        ignored |= status is None
        links |= bool(status and stat.S_ISLNK(status.st_mode))
    verb = "matches" if folder.pattern else "holds"
    if links and not ignored:
        raise UserError(
            f"{place} {verb} only links, which meanface does not follow: give their target, "
            "or copy the photos with cp -rL"
        )
    what = "only ignored files" if ignored else "no file"
    raise UserError(f"{place} {verb} {what}: give an archive or folder of photos")


def _is_tar_header(head: bytes) -> bool:
    if len(head) == tarfile.BLOCKSIZE and not head.strip(b"\0"):
        return True  # the end mark of an empty tar
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
