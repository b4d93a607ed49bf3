"""Read the photos of a shard, checked against its manifest."""

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

from meanface.errors import AccountingError
from meanface.shards.manifest import ManifestRow, Photo, read_manifest


def read_shard(tar: Path, manifest: Path) -> Iterator[Photo]:
    """Yield the photos of a shard, sorted by path. One photo is in memory at a time.

    Photos that were not read when the shard was made are left out.

    Raises AccountingError, which names the shard and the photo, unless the tar holds exactly the
    photos of the manifest, byte for byte.
    """
    for row, data in read_shard_rows(tar, manifest):
        if row.sha256:
            yield Photo(*row, data=data)


def read_shard_rows(tar: Path, manifest: Path) -> Iterator[tuple[ManifestRow, bytes]]:
    """Yield all rows of the manifest, each with its data in the tar. Raises as read_shard does."""
    rows = read_manifest(manifest)
    path = rows[0].path if rows else ""
    try:
        with tarfile.open(tar, "r:") as archive:
            for row in rows:
                path = row.path
                yield row, _next_photo(archive, row)
            if extra := archive.next():
                path = extra.name
                raise tarfile.ReadError("it is not in the manifest")
    # tarfile raises OverflowError for a header that announces 2**63 bytes.
    except (tarfile.TarError, OverflowError) as error:
        raise AccountingError(
            f"{tar} does not agree with {manifest} at photo {path!r}: {error}; "
            "delete both to have them made anew"
        ) from error


def _next_photo(archive: tarfile.TarFile, row: ManifestRow) -> bytes:
    info = archive.next()
    archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
    content = archive.extractfile(info) if info and info.isreg() else None  # no link is followed
    if info is None or content is None or info.name != row.path:
        raise tarfile.ReadError(f"{info.name!r} is in its place" if info else "it is missing")
    if info.size != (row.size if row.sha256 else 0):
        raise tarfile.ReadError(f"it has {info.size} bytes")
    data = content.read()
    if row.sha256 and hashlib.sha256(data).hexdigest() != row.sha256:
        raise tarfile.ReadError("its content has another SHA-256")
    return data
