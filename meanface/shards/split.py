"""Split a source into shards: deterministic tars of photos, each with a manifest.

A large source is first divided into parts. The parts are split into shards in parallel. A part has
the format of a shard.

The photos in a tar are sorted by path (code points) and have zero times and owners, so that the
same photos give the same bytes. The manifest has one row per photo, in the same order. A photo
that is not read is an empty member of the tar and has an empty `sha256` in the manifest:
one larger than `max_bytes`, with its true `size`, will fail as `too_large`; one that could not be
read, with the size 0, will fail as `unreadable`.
"""

import hashlib
import logging
import math
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from meanface.errors import UserError
from meanface.files.atomic import replacing
from meanface.files.schemas import MANIFEST
from meanface.files.tables import write_table
from meanface.shards.exclude import Exclusion
from meanface.shards.layout import shard_of
from meanface.shards.read import read_shard_rows
from meanface.sources.archive import read_members
from meanface.sources.folder import Folder
from meanface.sources.formats import is_archive, is_photo, is_raw
from meanface.sources.ignore import Ignore

log = logging.getLogger(__name__)

BUFFER = 64 << 20
"""Bytes of photos that are kept in memory before they are appended to the shards."""


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
    ignore: Sequence[str] = (),
    zip_names: str = "auto",
    exclusion: Exclusion | None = None,
    buffer: int = BUFFER,
) -> Counter[str]:
    """Split the photos of an archive or folder into shards, in one pass, read as by read_members.

    A folder that holds archives, and no photo by its name, is read as the photos in its archives.

    Shard i is `tars[i]` with `manifests[i]`. Every photo's path begins with `prefix`. Files have
    temporary names until the end. Splitting takes 350 bytes of memory per photo (650 in a zip), and
    `buffer` bytes for the photos themselves. Photos that `exclusion` covers get into no file and no
    log.

    Returns the number of `photos`, and of what was skipped: `directory`, `link`, `ignored`,
    `not_a_photo`, `excluded`, `raw` (a RAW file beside a photo of the same shot), and `unreadable`
    (where not even the name tells whether the file is a photo). Raises UserError for no photo at
    all, for two files of one name, and for what read_members refuses.
    """
    counts: Counter[str] = Counter()
    raws: list[str] = []
    excluded: set[str] = set()
    with _drafts(tars, manifests, buffer) as drafts:
        members = read_members(
            source,
            counts,
            max_bytes=max_bytes,
            max_total_bytes=max_total_bytes,
            max_ratio=max_ratio,
            ignore=ignore,
            zip_names=zip_names,
            archives=_holds_archives(source, suffixes, ignore),
        )
        for member in members:
            path = prefix + member.path
            draft = drafts.of(path)
            if path in draft.records:
                raise UserError(f"{source}: two members are named {member.path!r}: keep one")
            if not is_photo(member.path, member.data, suffixes):
                draft.records[path] = None
                counts["unreadable" if member.error else "not_a_photo"] += 1
                continue
            digest = b"" if member.data is None else hashlib.sha256(member.data).digest()
            if exclusion and exclusion.covers(path, digest.hex()):
                draft.records[path] = None
                excluded.add(path)
                counts["excluded"] += 1
                continue
            if member.error:
                log.warning("%s cannot be read: %s", path, member.error)
            counts["photos"] += 1
            if is_raw(path, member.data):
                raws.append(path)
            drafts.add(draft, path, _Photo(member.size, digest, member.data or b""))
        for path in raws:
            others = _of_one_shot(path, suffixes)
            is_excluded = not excluded.isdisjoint(others)
            if is_excluded or any(drafts.has(other) for other in others):
                record = drafts.of(path).records[path]
                if exclusion and record and is_excluded:
                    exclusion.leave_out(record.sha256.hex())
                drafts.of(path).records[path] = None
                counts["photos"] -= 1
                counts["excluded" if is_excluded else "raw"] += 1
        # A source whose photos are all excluded is empty, but its results must be made anew.
        if not counts["photos"] and not counts["excluded"]:
            skipped = ", ".join(
                f"{count} {kind}" for kind, count in sorted(counts.items()) if count
            )
            raise UserError(
                f"{source} holds no photo: skipped {skipped or 'nothing'}; "
                "give an archive or folder of photos"
                + ", or take in what is ignored, such as ignore='[\"!.hidden/\"]'"
                * bool(counts["ignored"])
            )
    return counts


def _of_one_shot(raw: str, suffixes: frozenset[str]) -> set[str]:
    """Give the paths that a photo of the same shot as a RAW file may have.

    Cameras change the ending (1.jpg), RAW developers append one (1.NEF.jpg). Google's phones name
    the photo of x.RAW-02.ORIGINAL.dng x.RAW-01.COVER.jpg or x.RAW-01.MP.COVER.jpg.
    """
    stem = raw.rpartition(".")[0]
    shot = stem.removesuffix(".RAW-02.ORIGINAL")
    covers = {f"{shot}.RAW-01.COVER", f"{shot}.RAW-01.MP.COVER"} if shot != stem else set()
    endings = {
        form(suffix) for suffix in suffixes for form in (str, str.lower, str.upper, str.title)
    }
    return {name + ending for name in {stem, raw, *covers} for ending in endings} - {raw}


def _holds_archives(source: Path, suffixes: frozenset[str], ignore: Sequence[str]) -> bool:
    """Tell whether a folder holds archives, and no photo by its name."""
    found = False
    if folder := Folder.of(source):
        for name, *_ in folder.walk(Ignore(ignore)):
            if is_photo(name, None, suffixes):
                return False
            found |= is_archive(name)
    return found


def split_part(
    part: Path, manifest: Path, tars: Sequence[Path], manifests: Sequence[Path], *, parts: int
) -> Counter[str]:
    """Split a part, which `split` made with its manifest, into shards, as `split` does.

    `parts` is the number of parts. Returns the number of `photos`. Raises AccountingError as
    read_shard does.
    """
    counts: Counter[str] = Counter()
    with _drafts(tars, manifests, BUFFER) as drafts:
        for row, data in read_shard_rows(part, manifest):
            draft = drafts.of(row.path, parts)
            drafts.add(draft, row.path, _Photo(row.size, bytes.fromhex(row.sha256), data))
            counts["photos"] += 1
    return counts


@contextmanager
def _drafts(tars: Sequence[Path], manifests: Sequence[Path], buffer: int) -> Iterator["_Drafts"]:
    """Give drafts of shards. The block fills them; after the block they become the shards."""
    with ExitStack() as stack:
        # The stack gives files their final names in reverse order. The next stage asks for the
        # manifests, so they come last.
        manifest_parts = [stack.enter_context(replacing(manifest)) for manifest in manifests]
        drafts = _Drafts([stack.enter_context(replacing(tar)) for tar in tars], buffer)
        yield drafts
        for draft, manifest in zip(drafts.all, manifest_parts, strict=True):
            draft.finish(manifest)


class _Drafts:
    """Shards while they are written. Up to `buffer` bytes of photos are still in memory."""

    def __init__(self, parts: Sequence[Path], buffer: int) -> None:
        self.all = [_Draft(part) for part in parts]
        self.buffer = buffer
        self.held = 0  # bytes

    def of(self, path: str, parts: int = 1) -> "_Draft":
        return self.all[shard_of(path, len(self.all), parts)]

    def has(self, path: str) -> bool:
        return self.of(path).records.get(path) is not None

    def add(self, draft: "_Draft", path: str, photo: "_Photo") -> None:
        self.held += draft.add(path, photo)
        if self.held > self.buffer:
            for each in self.all:
                each.flush()
            self.held = 0


class _Photo(NamedTuple):
    size: int
    sha256: bytes  # b"" where the photo was not read
    data: bytes


class _Record(NamedTuple):
    size: int
    sha256: bytes  # b"" where the photo was too large
    start: int  # where its header starts in the draft
    end: int  # where its padding ends


class _Draft:
    """A shard while it is written. The photos lie in order of arrival."""

    def __init__(self, part: Path) -> None:
        self.part = part
        self.records: dict[str, _Record | None] = {}  # None: a member that is no photo
        self.pending: list[bytes] = []
        self.end = 0
        part.write_bytes(b"")

    def add(self, path: str, photo: _Photo) -> int:
        """Add a photo. Gives the bytes that the photo takes in memory until `flush`."""
        # In PAX headers, names are UTF-8 on every platform, and of any length.
        header = tarfile.TarInfo(path)
        header.size = len(photo.data)
        chunks = (
            header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"),
            photo.data,
            bytes(-header.size % tarfile.BLOCKSIZE),
        )
        start, self.end = self.end, self.end + sum(map(len, chunks))
        self.pending += chunks
        self.records[path] = _Record(photo.size, photo.sha256, start, self.end)
        return self.end - start

    def flush(self) -> None:
        if self.pending:
            # Opened again each time: a process may have fewer open files than there are shards.
            with self.part.open("ab") as stream:
                stream.writelines(self.pending)
            self.pending.clear()

    def finish(self, manifest: Path) -> None:
        """Sort the photos by path, write the end of the tar, and write the manifest."""
        photos = {path: record for path, record in self.records.items() if record}
        order = sorted(photos)
        is_gapless = self.end == sum(record.end - record.start for record in photos.values())
        if order != list(photos) or not is_gapless:
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
