"""The index of the cache: which file holds which contents, in bounded memory.

The index is a zip file as np.savez writes it, with three arrays:

* `names` (n,): the names of the files, the last used first.
* `starts` uint64 (k,), sorted: the first 64 bits of the contents.
* `where` uint32 (k,): the number of the file of each, from 0.
"""

import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meanface.files.scratch import Scratch

Rows: TypeAlias = tuple[NDArray[np.uint64], NDArray[np.uint32]]
"""Some rows of an index: `starts` and `where`."""

_ROWS = 1 << 18  # in memory at a time

_SORTED = """
    CREATE TABLE sorted AS
    SELECT start, file FROM present
    UNION ALL SELECT start, kept.number FROM earlier JOIN kept ON earlier.file = kept.file
    ORDER BY ALL
"""
# The earlier files with contents that are in no present file, and the number of all their contents.
_EARLIER = """
    SELECT file, size FROM (SELECT file, count(*) AS size FROM earlier GROUP BY file)
    SEMI JOIN (FROM earlier ANTI JOIN present USING (start)) USING (file) ORDER BY file
"""


class Index:
    """An index that is open to be read. Reading raises ValueError where it is damaged."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        with archive.open("names.npy") as member:
            names = np.lib.format.read_array(member, allow_pickle=False)
        self.names: list[str] = names.tolist()

    def rows(self) -> Iterator[Rows]:
        """Yield the rows, some at a time."""
        with self._archive.open("starts.npy") as starts, self._archive.open("where.npy") as where:
            count = _length(starts, np.uint64)
            if count != _length(where, np.uint32):
                raise ValueError("its arrays do not belong together")
            for first in range(0, count, _ROWS):
                size = min(_ROWS, count - first)
                some = (
                    np.frombuffer(starts.read(8 * size), np.uint64),
                    np.frombuffer(where.read(4 * size), np.uint32),
                )
                if {len(one) for one in some} != {size} or (some[1] >= len(self.names)).any():
                    raise ValueError("its arrays do not belong together")
                yield some

    def holders(self, contents: Collection[str]) -> set[str]:
        """Give the names of files with contents that share their first 64 bits with these."""
        wanted = np.sort(starts_of(contents))
        found = np.zeros(len(self.names), bool)
        for starts, where in self.rows() if len(wanted) else ():
            place = np.searchsorted(wanted, starts).clip(max=len(wanted) - 1)
            found[where[wanted[place] == starts]] = True
        return {name for name, is_holder in zip(self.names, found, strict=True) if is_holder}


def starts_of(contents: Collection[str]) -> NDArray[np.uint64]:
    """Give the first 64 bits of contents (sha256, hexadecimal)."""
    packed = bytes.fromhex("".join(content[:16] for content in contents))
    return np.frombuffer(packed, ">u8").astype(np.uint64)


def read_shards(tables: Scratch, shards: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Make the table `present` of shards, the name and the contents of each. Give the names."""
    tables.run("CREATE TABLE present (start UBIGINT, file UINTEGER)")
    names: list[str] = []
    held: list[Rows] = []
    for number, (name, contents) in enumerate(shards):
        names.append(name)
        held.append((starts_of(contents), np.full(len(contents), number, np.uint32)))
        if sum(len(starts) for starts, _ in held) >= _ROWS:
            _append(tables, "present", held)
            held = []
    _append(tables, "present", held)
    return names


def read_earlier(tables: Scratch, earlier: Index | None, present: Collection[str]) -> None:
    """Make the table `earlier` of the files of an index that are not among those `present`."""
    tables.run("CREATE OR REPLACE TABLE earlier (start UBIGINT, file UINTEGER)")
    if earlier is None:
        return
    known = set(present)
    is_other = np.array([name not in known for name in earlier.names], bool)
    for starts, where in earlier.rows():
        others = is_other[where]
        if others.any():
            _append(tables, "earlier", [(starts[others], where[others])])


def join(tables: Scratch, names: Sequence[str], earlier: Sequence[str], most: int) -> list[str]:
    """Make the table `sorted` of present and earlier files, up to `most` contents in total.

    Earlier files whose contents are all in present files are left out. Give the names of the files
    in the table.
    """
    import pyarrow as pa  # takes time, which encode jobs save

    room = most - tables.number("SELECT count(*) FROM present")
    kept: list[int] = []
    for number, size in tables.rows(_EARLIER):
        room -= size
        if room < 0:
            break
        kept.append(number)
    numbers = np.arange(len(names), len(names) + len(kept), dtype=np.uint32)
    tables.append("kept", pa.table({"file": np.array(kept, np.uint32), "number": numbers}))
    tables.run(_SORTED)
    return [*names, *(earlier[number] for number in kept)]


def write_joined(target: IO[bytes], names: Sequence[str], tables: Scratch) -> None:
    """Write the index of the table `sorted` that `join` made."""
    starts = (batch["start"] for batch in tables.batches("SELECT start FROM sorted", _ROWS))
    where = (batch["file"] for batch in tables.batches("SELECT file FROM sorted", _ROWS))
    count = tables.number("SELECT count(*) FROM sorted")
    write_index(target, names, count, map(np.asarray, starts), map(np.asarray, where))


def write_without(target: IO[bytes], index: Index, names: Collection[str]) -> None:
    """Write an index without the files that are not among `names`."""
    is_kept = np.isin(np.array(index.names, "U"), np.array(list(names), "U"))
    number = np.cumsum(is_kept) - 1
    count = sum(int(is_kept[where].sum()) for _, where in index.rows())
    starts = (starts[is_kept[where]] for starts, where in index.rows())
    files = (number[where[is_kept[where]]] for _, where in index.rows())
    left = [name for name, kept in zip(index.names, is_kept, strict=True) if kept]
    write_index(target, left, count, starts, files)


def write_index(
    target: IO[bytes],
    names: Sequence[str],
    count: int,
    starts: Iterable[NDArray[Any]],
    where: Iterable[NDArray[Any]],
) -> None:
    """Write an index of `count` rows, whose `starts` and `where` come in parts."""
    with zipfile.ZipFile(target, "w") as archive:
        with archive.open("names.npy", "w") as member:
            np.lib.format.write_array(member, np.array(names, "U"), allow_pickle=False)
        for name, kind, parts in (("starts", "<u8", starts), ("where", "<u4", where)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": kind, "fortran_order": False, "shape": (count,)}
                np.lib.format.write_array_header_1_0(member, header)
                for part in parts:
                    member.write(part.astype(kind).tobytes())


def _append(tables: Scratch, name: str, rows: Sequence[Rows]) -> None:
    import pyarrow as pa  # takes time, which encode jobs save

    if rows:
        starts, files = (np.concatenate(column) for column in zip(*rows, strict=True))
        tables.append(name, pa.table({"start": starts, "file": files}))


def _length(member: IO[bytes], kind: type[np.generic]) -> int:
    """Read the header of an array (k,) in a file; give k."""
    if np.lib.format.read_magic(member) != (1, 0):
        raise ValueError("its arrays are of another version")
    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype != kind or len(shape) != 1:
        raise ValueError(f"its arrays do not belong together: {dtype} {shape}")
    return int(shape[0])
