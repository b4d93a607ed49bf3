"""The shards: deterministic tars of photos, each with a manifest that is its identity.

A large source is divided into parts, which are split into shards side by side; a part looks like a
shard.

A shard is a tar of its photos, sorted by path (code points), with zero times and owners: same
photos, same bytes. Its manifest, a CSV table `path,size,sha256` in the same order, has one row per
photo. A photo larger than `max_bytes` lies in the tar as an empty member and has an empty `sha256`
in the manifest beside its true `size`: it is not read, and will fail as `too_large`.
"""

import hashlib
import io
import math
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from meanface.archive import read_members
from meanface.errors import AccountingError, UserError
from meanface.files import replacing
from meanface.tables import read_rows, write_table

MANIFEST = ("path", "size", "sha256")

# Shards that one part may hold where there is no other: the time in which Snakemake looks at them
# grows with their square.
_IN_ONE = 256
# Snakemake keeps its records of 128 files in memory, and reads the others six times.
_IN_PART = 32
_SHARD_SIZE = 8 << 20  # bytes: on one core a job of some ten seconds for photos of 15 kB
_BUFFER = 64 << 20  # bytes held back before they are appended to the shards


class ManifestRow(NamedTuple):
    """One photo of a manifest."""

    path: str
    size: int  # bytes of the photo
    sha256: str  # hexadecimal; "" where the photo was too large to be read


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a shard."""

    path: str
    size: int  # bytes of the photo
    sha256: str  # hexadecimal
    data: bytes


def shards_for(size: int) -> int:
    """Give the number of shards for photos of `size` bytes together: a power of two, 4 to 16384.

    A shard holds about 8 MiB, so that growth by a few per cent rarely changes the number.
    """
    wanted = -(-size // _SHARD_SIZE)
    return min(max(1 << (wanted - 1).bit_length(), 4), 16384)


def layout(shards: int) -> tuple[int, int]:
    """Give the number of parts of a source, and of the shards in each, for `shards` in all.

    Up to 256 are one part; beyond, there are at most 32 in each, and there may be a few more than
    `shards`, so that all parts are alike.
    """
    parts = 1 if shards <= _IN_ONE else -(-shards // _IN_PART)
    return parts, -(-shards // parts)


def shard_of(path: str, shards: int, parts: int = 1) -> int:
    """Give the number of the shard (0 to shards - 1) of a photo: it depends on its path alone.

    Where there are several `parts`, it is that within the photo's part; whose number is
    shard_of(path, parts).
    """
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") // parts % shards


def is_photo(path: str, data: bytes | None, suffixes: frozenset[str]) -> bool:
    """Tell a photo: by the ending of its name (`.jpg`, in any case) or else by its content.

    The content is that of a photo if Pillow finds the header of one of photo.FORMATS in it;
    nothing is decoded. Without data, the name alone decides.
    """
    if path.lower().endswith(tuple(suffix.lower() for suffix in suffixes)):
        return True
    if data is None:
        return False
    from PIL import Image  # a fifth of a second that most jobs need not spend

    from meanface.photo import FORMATS

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS):
            return True
    except Exception:  # a plugin of Pillow may raise anything on bytes that are no photo
        return False


def split(
    source: Path,
    tars: Sequence[Path],
    manifests: Sequence[Path],
    *,
    prefix: str = "",
    suffixes: frozenset[str],
    max_bytes: int,
    max_total_bytes: float = math.inf,
    max_ratio: float = math.inf,
) -> Counter[str]:
    """Split the photos of an archive or folder into shards, in one pass; limits as in read_members.

    Shard i is `tars[i]` with `manifests[i]`; every photo's path begins with `prefix`. Everything is
    written under temporary names beside these and gets its name at the end. Takes 350 bytes of
    memory per photo (650 in a zip) beside 64 MiB of photos.

    Returns how many `photos` there are, and what was skipped (`directory`, `link`, `dropping`,
    `not_a_photo`). UserError: no photo at all, two files of one name, or what read_members refuses.
    """
    counts: Counter[str] = Counter()
    with _drafts(tars, manifests) as drafts:
        members = read_members(
            source,
            counts,
            max_bytes=max_bytes,
            max_total_bytes=max_total_bytes,
            max_ratio=max_ratio,
        )
        for member in members:
            path = prefix + member.path
            draft = drafts.of(path)
            if path in draft.records:
                raise UserError(f"{source}: two members are named {member.path!r}: keep one")
            if not is_photo(member.path, member.data, suffixes):
                draft.records[path] = None
                counts["not_a_photo"] += 1
                continue
            counts["photos"] += 1
            drafts.add(draft, path, member.size, member.data)
        if not counts["photos"]:
            skipped = ", ".join(
                f"{count} {kind}" for kind, count in sorted(counts.items()) if count
            )
            raise UserError(
                f"{source} holds no photo: skipped {skipped or 'nothing'}; "
                "give an archive or folder of photos"
            )
    return counts


def split_part(
    part: Path, manifest: Path, tars: Sequence[Path], manifests: Sequence[Path], *, parts: int
) -> Counter[str]:
    """Split one of `parts` parts, that split made with its manifest, into shards, as split does.

    Returns how many `photos` there are. Raises AccountingError as read_shard does.
    """
    counts: Counter[str] = Counter()
    with _drafts(tars, manifests) as drafts:
        for row, data in _read_rows(part, manifest):
            draft = drafts.of(row.path, parts)
            drafts.add(draft, row.path, row.size, data if row.sha256 else None)
            counts["photos"] += 1
    return counts


@contextmanager
def _drafts(tars: Sequence[Path], manifests: Sequence[Path]) -> Iterator["_Drafts"]:
    """Give drafts of shards, which the block fills; then finish them."""
    with ExitStack() as stack:
        # The stack takes their final names in reverse: the manifests, which the next stage asks
        # for, come last.
        manifest_parts = [stack.enter_context(replacing(manifest)) for manifest in manifests]
        drafts = _Drafts([stack.enter_context(replacing(tar)) for tar in tars])
        yield drafts
        for draft, manifest in zip(drafts.all, manifest_parts, strict=True):
            draft.finish(manifest)


class _Drafts:
    """Shards while they are written; some of their photos are still in memory."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self.all = [_Draft(part) for part in parts]
        self.held = 0  # bytes

    def of(self, path: str, parts: int = 1) -> "_Draft":
        return self.all[shard_of(path, len(self.all), parts)]

    def add(self, draft: "_Draft", path: str, size: int, data: bytes | None) -> None:
        self.held += draft.add(path, size, data)
        if self.held > _BUFFER:
            for each in self.all:
                each.flush()
            self.held = 0


class _Record(NamedTuple):
    size: int
    sha256: bytes  # b"" where the photo was too large
    start: int  # where its header starts in the draft
    end: int  # where its padding ends


class _Draft:
    """A shard while it is written: its photos lie in order of arrival."""

    def __init__(self, part: Path) -> None:
        self.part = part
        self.records: dict[str, _Record | None] = {}  # None: a member that is no photo
        self.pending: list[bytes] = []
        self.end = 0
        part.write_bytes(b"")

    def add(self, path: str, size: int, data: bytes | None) -> int:
        """Add a photo, without its data where it was too large to be read.

        Gives the number of bytes it takes in memory until they are flushed.
        """
        digest = b"" if data is None else hashlib.sha256(data).digest()
        data = data or b""
        # PAX: the names are UTF-8 wherever they are read, and of any length.
        header = tarfile.TarInfo(path)
        header.size = len(data)
        chunks = (
            header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"),
            data,
            bytes(-len(data) % tarfile.BLOCKSIZE),
        )
        start, self.end = self.end, self.end + sum(map(len, chunks))
        self.pending += chunks
        self.records[path] = _Record(size, digest, start, self.end)
        return self.end - start

    def flush(self) -> None:
        if self.pending:
            # Opened anew each time: there may be more shards than a process may have files open.
            with self.part.open("ab") as stream:
                stream.writelines(self.pending)
            self.pending.clear()

    def finish(self, manifest: Path) -> None:
        """Bring the photos into order and write the end of the tar, and the manifest."""
        photos = {path: record for path, record in self.records.items() if record}
        order = sorted(photos)
        if order != list(photos):
            self.flush()
            with (
                replacing(self.part) as ordered,
                ordered.open("wb") as target,
                self.part.open("rb") as stream,
            ):
                for path in order:
                    stream.seek(photos[path].start)
                    target.write(stream.read(photos[path].end - photos[path].start))
        self.pending.append(bytes(2 * tarfile.BLOCKSIZE))
        self.flush()
        rows = ((path, photos[path].size, photos[path].sha256.hex()) for path in order)
        write_table(manifest, MANIFEST, rows)


def read_manifest(manifest: Path) -> list[ManifestRow]:
    """Read a manifest. AccountingError: it is damaged."""
    with manifest.open(encoding="utf-8", newline="") as stream:
        rows = read_rows(stream, MANIFEST)
        try:
            photos = [ManifestRow(path, int(size), sha256) for path, size, sha256 in rows]
        except ValueError as error:
            raise AccountingError(f"{manifest} is damaged: {error}") from error
    for before, after in pairwise(photos):
        if before.path >= after.path:
            raise AccountingError(f"{manifest} is damaged: {after.path!r} is out of order")
    return photos


def read_shard(tar: Path, manifest: Path) -> Iterator[Photo]:
    """Yield the photos of a shard, sorted by path, one in memory at a time.

    Those that were too large to be read are left out.

    AccountingError, with the shard and the photo: the tar does not hold exactly the photos of the
    manifest, byte for byte.
    """
    for row, data in _read_rows(tar, manifest):
        if row.sha256:
            yield Photo(*row, data=data)


def _read_rows(tar: Path, manifest: Path) -> Iterator[tuple[ManifestRow, bytes]]:
    """Yield all rows of the manifest, each with the data in the tar; raise as read_shard does."""
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
    # tarfile raises OverflowError, where a header announces 2**63 bytes.
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
