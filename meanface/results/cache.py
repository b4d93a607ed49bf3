"""What earlier runs found out about photos, by their content: nothing is encoded twice.

A cache lies in a folder or at any other address that fsspec knows (`s3://bucket/cache`). Each
engine (its fingerprint) has a folder of its own, with a zip file for each shard, of the two files
that encode writes, and an index, by which the photos of a shard that has changed are found. Files
are named for the contents of their shard, so that none changes while others may look into it.
A file that is damaged or missing costs time and nothing else.
"""

import io
import logging
import posixpath
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem

from meanface.engine.outcome import Failure, Outcome
from meanface.files.atomic import replacing
from meanface.results.outcomes import read_outcomes

log = logging.getLogger(__name__)

ENGINES = 4
"""How many engines a cache keeps: those that were used last."""

# Failures that another machine, or another hour, may not see.
_PASSING = frozenset({"crashed", "error", "out_of_memory", "timeout"})

_MEMBERS = ("embeddings.npy", "outcomes.csv")


class Cache:
    """The outcomes that one engine has found, kept at an address."""

    def __init__(self, address: str, fingerprint: str) -> None:
        self._files, root = fsspec.core.url_to_fs(address)
        self._root = root.rstrip("/")
        self._folder = f"{self._root}/{fingerprint}"
        self._index = f"{self._folder}/index.npz"
        self.trouble: str | None = None
        """What went wrong first, in a line."""

    def recall(self, name: str, contents: Collection[str]) -> dict[str, Outcome]:
        """Give the known outcomes among `contents` (sha256, hexadecimal), by content.

        `name` is that of the shard's contents, see plan.name_of.
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

    def tidy(self, shards: Mapping[str, Sequence[str]]) -> None:
        """Write the index of `shards`, the contents of each by its name; remove all other files.

        Of other engines, those are removed whose index was written longest ago.
        """
        names = list(shards)
        starts = [int(content[:16], 16) for name in names for content in shards[name]]
        where = np.repeat(np.arange(len(names)), [len(shards[name]) for name in names])
        sorted_starts = np.array(starts, np.uint64)
        order = np.argsort(sorted_starts, kind="stable")
        packed = io.BytesIO()
        np.savez(
            packed,
            names=np.array(names, dtype="U"),
            starts=sorted_starts[order],
            where=where[order].astype(np.uint32),
        )
        self._write(self._index, packed.getvalue())
        self._remove_all_but({self._index, *map(self._path, names)})

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}.zip"

    def _read(self, name: str, wanted: Collection[str]) -> dict[str, Outcome]:
        path = self._path(name)
        try:
            with zipfile.ZipFile(io.BytesIO(self._files.cat_file(path))) as archive:
                outcomes = read_outcomes(*(io.BytesIO(archive.read(name)) for name in _MEMBERS))
        except FileNotFoundError:
            return {}
        except Exception as error:  # whatever is wrong with it, the photos can be encoded
            self._note(f"{path} cannot be read and is left out", error)
            return {}
        return {
            sha256: outcome
            for sha256, outcome in outcomes.items()
            if sha256 in wanted
            and not (isinstance(outcome, Failure) and outcome.reason in _PASSING)
        }

    def _holders(self, contents: Collection[str]) -> set[str]:
        """The names under which the index has contents that begin like these."""
        try:
            packed = io.BytesIO(self._files.cat_file(self._index))
            with np.load(packed, allow_pickle=False) as index:
                names, starts, where = index["names"], index["starts"], index["where"]
            wanted = np.array([int(content[:16], 16) for content in contents], np.uint64)
            low, high = (np.searchsorted(starts, wanted, side) for side in ("left", "right"))
            return {str(name) for a, b in zip(low, high, strict=True) for name in names[where[a:b]]}
        except FileNotFoundError:
            return set()
        except Exception as error:  # as above
            self._note(f"{self._index} cannot be read and is left out", error)
            return set()

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

    def _remove_all_but(self, kept: Collection[str]) -> None:
        try:
            for path in self._files.ls(self._folder, detail=False):
                if path not in kept:
                    self._files.rm_file(path)
            engines = filter(_is_engine, self._files.ls(self._root, detail=False))
            for path in sorted(engines, key=self._last_used, reverse=True)[ENGINES:]:
                self._files.rm(path, recursive=True)
        except Exception as error:  # what is left over takes room and does no harm
            self._note(f"{self._root} cannot be tidied", error)

    def _note(self, what: str, error: Exception) -> None:
        log.warning("cache: %s", what, exc_info=True)
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        self.trouble = self.trouble or f"{what}: {reason}"

    def _last_used(self, engine: str) -> str:
        index = f"{engine}/index.npz"
        return self._files.modified(index).isoformat() if self._files.exists(index) else ""


def _is_engine(path: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", posixpath.basename(path.rstrip("/"))) is not None
