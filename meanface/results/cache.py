"""The cache of outcomes: a photo that an earlier run encoded is not encoded again.

A cache is a folder or any other address that fsspec knows (`s3://bucket/cache`). Each engine has a
folder in the cache, named by its fingerprint:

* A zip file per shard, with the two files that encode writes. The file is named after the
  shard's contents, see plan.name_of. So a file never changes while another job reads it.
* An index, which finds the outcomes of photos that were in another shard.

A file that is damaged or missing costs only time.
"""

import io
import logging
import posixpath
import re
import zipfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from meanface.engine.outcome import Failure, Outcome
from meanface.files.atomic import replacing
from meanface.results.outcomes import read_outcomes

log = logging.getLogger(__name__)

ENGINES = 4
"""A cache keeps the outcomes of so many engines, those used last."""

RUNS, LEAST = 4, 100_000
"""A cache has room for RUNS times the contents of the last run, and for LEAST contents at least."""

STRAY = timedelta(days=7)
"""How long a cache keeps a file that no index names."""

# Failures that may not happen again on another machine or at another time.
_PASSING = frozenset({"crashed", "error", "out_of_memory", "timeout"})

_MEMBERS = ("embeddings.npy", "outcomes.csv")


class Cache:
    """The outcomes of one engine, kept at an address."""

    def __init__(self, address: str, fingerprint: str) -> None:
        self._files, root = fsspec.core.url_to_fs(address)
        self._root = root.rstrip("/")
        self._folder = f"{self._root}/{fingerprint}"
        self._index = f"{self._folder}/index.npz"
        self.trouble: str | None = None
        """The first thing that went wrong, in a line."""

    def recall(self, name: str, contents: Collection[str]) -> dict[str, Outcome]:
        """Give the known outcomes among `contents` (sha256, hexadecimal), by content.

        `name` is the name of the shard's contents, see plan.name_of.
        """
        wanted = set(contents)
        known = self._read(name, wanted)
        missing = wanted - known.keys()
        if missing:
            for other in sorted(self._holders(missing) - {name}):
                known |= self._read(other, missing)
        return known

    def keep(self, name: str, embeddings: Path, table: Path) -> None:
        """Keep the two files of a shard, as write_outcomes wrote them."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for member, path in zip(_MEMBERS, (embeddings, table), strict=True):
                archive.write(path, member)
        self._write(self._path(name), packed.getvalue())

    def tidy(self, shards: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Write the index of `shards`, the name and the contents of each; remove old files.

        Files of other runs stay while the cache has room: for RUNS times the contents of `shards`,
        and for LEAST contents at least. The files used longest ago are removed first. The ENGINES
        engines used last stay.
        """
        index = _Index.of(shards)
        earlier = self._read_index()
        if earlier:
            index = index.extended(earlier, max(RUNS * len(index.starts), LEAST))
        packed = io.BytesIO()
        np.savez(packed, names=index.names, starts=index.starts, where=index.where)
        self._write(self._index, packed.getvalue())
        dropped = {*earlier.names.tolist()} - {*index.names.tolist()} if earlier else set()
        self._remove(set(map(self._path, dropped)), {self._index, *map(self._path, index.names)})

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}.zip"

    def _read(self, name: str, wanted: Collection[str]) -> dict[str, Outcome]:
        path = self._path(name)
        try:
            with zipfile.ZipFile(io.BytesIO(self._files.cat_file(path))) as archive:
                outcomes = read_outcomes(*(io.BytesIO(archive.read(name)) for name in _MEMBERS))
        except FileNotFoundError:
            return {}
        except Exception as error:  # a damaged file costs time only: the photos are encoded
            self._note(f"{path} cannot be read and is left out", error)
            return {}
        return {
            sha256: outcome
            for sha256, outcome in outcomes.items()
            if sha256 in wanted
            and not (isinstance(outcome, Failure) and outcome.reason in _PASSING)
        }

    def _holders(self, contents: Collection[str]) -> set[str]:
        """The names of files with contents that share their first 64 bits with these."""
        index = self._read_index()
        return index.holders(contents) if index else set()

    def _read_index(self) -> "_Index | None":
        try:
            packed = io.BytesIO(self._files.cat_file(self._index))
            with np.load(packed, allow_pickle=False) as found:
                return _Index(found["names"], found["starts"], found["where"]).checked()
        except FileNotFoundError:
            return None
        except Exception as error:  # as above
            self._note(f"{self._index} cannot be read and is left out", error)
            return None

    def _write(self, path: str, data: bytes) -> None:
        try:
            if isinstance(self._files, LocalFileSystem):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                with replacing(Path(path)) as part:
                    part.write_bytes(data)
            else:  # an object appears whole, in no folder; making one would make a bucket
                self._files.pipe_file(path, data)
        except Exception as error:  # the results do not depend on it
            self._note(f"{path} cannot be written", error)

    def _remove(self, dropped: Collection[str], kept: Collection[str]) -> None:
        """Remove dropped files, old files that no index names, and engines used long ago.

        A young file may be another run's, which writes its index when it ends.
        """
        try:
            for path in self._files.ls(self._folder, detail=False):
                if path in dropped or (path not in kept and self._age(path) > STRAY):
                    self._files.rm_file(path)
            engines = filter(_is_engine, self._files.ls(self._root, detail=False))
            for path in sorted(engines, key=self._last_used, reverse=True)[ENGINES:]:
                self._files.rm(path, recursive=True)
        except Exception as error:  # what is left over takes room and does no harm
            self._note(f"{self._root} cannot be tidied", error)

    def _age(self, path: str) -> timedelta:
        modified: datetime = self._files.modified(path)
        return datetime.now(UTC) - (modified if modified.tzinfo else modified.astimezone(UTC))

    def _note(self, what: str, error: Exception) -> None:
        log.warning("cache: %s", what, exc_info=True)
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        self.trouble = self.trouble or f"{what}: {reason}"

    def _last_used(self, engine: str) -> str:
        index = f"{engine}/index.npz"
        return self._files.modified(index).isoformat() if self._files.exists(index) else ""


@dataclass(frozen=True)
class _Index:
    """Which file has which contents.

    `names` (n,) are those of the files, the last used first. `starts` uint64 (k,), sorted,
    are the first 64 bits of the contents. `where` uint32 (k,) tells the file of each.
    """

    names: NDArray[np.str_]
    starts: NDArray[np.uint64]
    where: NDArray[np.uint32]

    @classmethod
    def of(cls, shards: Iterable[tuple[str, Sequence[str]]]) -> "_Index":
        names: list[str] = []
        starts = [np.empty(0, np.uint64)]
        for name, contents in shards:
            names.append(name)
            starts.append(np.array([_start(content) for content in contents], np.uint64))
        where = np.repeat(np.arange(len(names)), [len(some) for some in starts[1:]])
        return cls._sorted(names, np.concatenate(starts), where)

    @classmethod
    def _sorted(
        cls, names: Sequence[str], starts: NDArray[np.uint64], where: NDArray[np.int64]
    ) -> "_Index":
        order = np.argsort(starts, kind="stable")
        return cls(np.array(names, "U"), starts[order], where[order].astype(np.uint32))

    def checked(self) -> "_Index":
        """Give this index. Raises ValueError where the index is not consistent."""
        if len(self.starts) != len(self.where) or (self.where >= len(self.names)).any():
            raise ValueError("its arrays do not belong together")
        return self

    def holders(self, contents: Collection[str]) -> set[str]:
        """Give the names of files with contents that share their first 64 bits with these."""
        wanted = np.array([_start(content) for content in contents], np.uint64)
        low, high = (np.searchsorted(self.starts, wanted, side) for side in ("left", "right"))
        return {
            str(name)
            for first, last in zip(low, high, strict=True)
            for name in self.names[self.where[first:last]]
        }

    def extended(self, earlier: "_Index", most: int) -> "_Index":
        """Give this index with files of an earlier index, up to `most` contents in total.

        Files whose contents are all in this index are left out.
        """
        own = set(self.names.tolist())
        sizes = np.bincount(earlier.where, minlength=len(earlier.names))
        elsewhere = ~np.isin(earlier.starts, self.starts)
        others = np.bincount(earlier.where[elsewhere], minlength=len(earlier.names))
        room = most - len(self.starts)
        kept = []
        for number, name in enumerate(earlier.names.tolist()):
            if name in own or not others[number]:
                continue
            room -= sizes[number]
            if room < 0:
                break
            kept.append(number)
        new_number = np.full(len(earlier.names), -1)
        new_number[kept] = len(self.names) + np.arange(len(kept))
        where = new_number[earlier.where]
        is_kept = where >= 0
        return self._sorted(
            [*self.names.tolist(), *earlier.names[kept].tolist()],
            np.concatenate([self.starts, earlier.starts[is_kept]]),
            np.concatenate([self.where.astype(np.int64), where[is_kept]]),
        )


def _start(content: str) -> int:
    """The first 64 bits of a content (sha256, hexadecimal)."""
    return int(content[:16], 16)


def _is_engine(path: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", posixpath.basename(path.rstrip("/"))) is not None
