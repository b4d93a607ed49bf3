"""The cache of outcomes: a photo that an earlier run encoded is not encoded again.

A cache is a folder or any other address that fsspec knows (`s3://bucket/cache`). Each engine has a
folder in the cache, named by its fingerprint:

* A zip file per shard, with the two files that encode writes. The file is named after the
  shard's contents, see plan.name_of. So a file never changes while another job reads it.
* An index, which finds the outcomes of photos that were in another shard.

A file that is damaged or missing costs only time.
"""

import csv
import io
import logging
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from meanface.engine.outcome import Failure, Outcome
from meanface.errors import UserError
from meanface.files.atomic import replacing
from meanface.files.scratch import scratch
from meanface.results.cache_index import (
    Index,
    join,
    read_earlier,
    read_shards,
    write_joined,
    write_without,
)
from meanface.results.outcomes import read_outcomes

T = TypeVar("T")

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
        self._write(self._path(name), lambda target: target.write(packed.getvalue()))

    def tidy(self, shards: Iterable[tuple[str, Sequence[str]]], beside: Path) -> None:
        """Write the index of `shards`, the name and the contents of each; remove old files.

        Files of other runs stay while the cache has room: for RUNS times the contents of `shards`,
        and for LEAST contents at least. The files used longest ago are removed first. The ENGINES
        engines used last stay. Temporary files are in a folder beside the file `beside`.
        """
        import duckdb  # takes time, which encode jobs save

        try:
            earlier, names = self._join(shards, beside)
        except (OSError, ValueError, duckdb.Error) as error:  # such as a full disk
            self._note(f"{self._index} cannot be made", error)
            return
        dropped = {*earlier} - {*names}
        self._remove({*map(self._path, dropped)}, {self._index, *map(self._path, names)})

    def _join(
        self, shards: Iterable[tuple[str, Sequence[str]]], beside: Path
    ) -> tuple[list[str], list[str]]:
        """Write the index of `shards`. Give the names in the index before and in the new one."""
        with scratch(beside) as tables:
            present = read_shards(tables, shards)

            def earlier_names(index: Index) -> list[str]:
                read_earlier(tables, index, present)
                return index.names

            earlier = self._with_index(earlier_names)
            if earlier is None:  # missing, or damaged in the middle
                earlier = []
                read_earlier(tables, None, present)
            most = max(RUNS * tables.number("SELECT count(*) FROM present"), LEAST)
            names = join(tables, present, earlier, most)
            self._write(
                self._index, lambda target: write_joined(target, names, tables), tables.folder
            )
        return earlier, names

    def forget(self, contents: Collection[str]) -> None:
        """Remove every file of this engine that holds one of the contents (sha256, hexadecimal).

        The other contents of these files are forgotten as well, because two jobs may forget at the
        same time, and a job that wrote a file anew could keep what the other one forgets. Raises
        OSError, or another error of the file system, where a file cannot be removed.
        """
        names = set()
        for path in self._files.ls(self._folder, detail=False):
            name, _, ending = posixpath.basename(path).partition(".")
            if ending == "zip" and not self._holds(path, contents):
                names.add(name)
            elif path != self._index:
                self._files.rm_file(path)
        self._with_index(
            lambda index: self._write(
                self._index, lambda target: write_without(target, index, names)
            )
        )

    def _holds(self, path: str, contents: Collection[str]) -> bool:
        """Tell whether a file holds one of the contents, or is damaged."""
        try:
            with self._files.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
                text = io.TextIOWrapper(archive.open("outcomes.csv"), encoding="utf-8", newline="")
                return any(row[0] in contents for row in csv.reader(text))
        except (zipfile.BadZipFile, KeyError, EOFError, ValueError, zlib.error):
            return True

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
        return self._with_index(lambda index: index.holders(contents)) or set()

    def _with_index(self, use: Callable[[Index], T]) -> T | None:
        """Give what `use` makes of the index; None if the index is missing or damaged."""
        try:
            # Two arrays are read in turns, which would waste what fsspec reads ahead.
            stream = self._files.open(self._index, "rb", cache_type="none")
            with stream, zipfile.ZipFile(stream) as archive:
                return use(Index(archive))
        except FileNotFoundError:
            return None
        except Exception as error:  # as above
            self._note(f"{self._index} cannot be read and is left out", error)
            return None

    def _write(
        self, path: str, write: Callable[[IO[bytes]], object], folder: Path | None = None
    ) -> None:
        """Write a file, which appears whole. `folder` is for an object's temporary file."""
        try:
            if isinstance(self._files, LocalFileSystem):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                with replacing(Path(path), shared=True) as part, part.open("wb") as target:
                    write(target)
            else:  # no folder is made: making one would make a bucket
                with TemporaryDirectory(dir=folder) as own:
                    part = Path(own, posixpath.basename(path))
                    with part.open("wb") as target:
                        write(target)
                    # An object that is written in pieces would appear when writing stops halfway.
                    self._files.put_file(str(part), path)
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


def forget(address: str, contents: Collection[str]) -> None:
    """Remove every file of a cache, of all engines, that holds one of the contents.

    Raises UserError where the cache cannot be searched: the contents may then still be in it.
    """
    try:
        files, root = fsspec.core.url_to_fs(address)
        folders = files.ls(root, detail=False) if files.exists(root) else []
        for folder in filter(_is_engine, folders):
            engine = Cache(address, posixpath.basename(folder.rstrip("/")))
            engine.forget(contents)
            if engine.trouble:
                raise UserError(engine.trouble)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"cache: {address} may still hold photos that `exclude` names: {reason}; make it"
            " writable, or remove it"
        ) from error


def _is_engine(path: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", posixpath.basename(path.rstrip("/"))) is not None
