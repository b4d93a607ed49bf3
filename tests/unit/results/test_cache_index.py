"""The index of the cache: it finds the files of contents, forgets files, and keeps earlier ones."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meanface.files.scratch import Scratch, scratch
from meanface.results import cache_index
from meanface.results.cache_index import (
    Index,
    join,
    read_earlier,
    read_shards,
    write_index,
    write_joined,
    write_without,
)


def content(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def contents(name: str, count: int = 5) -> list[str]:
    return [content(f"{name}{i}") for i in range(count)]


@pytest.fixture(autouse=True, params=[3, 1 << 18])
def _rows_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_index, "_ROWS", request.param)


def opened(written: io.BytesIO) -> Index:
    return Index(zipfile.ZipFile(written))


def index_of(
    folder: Path,
    shards: Mapping[str, Sequence[str]],
    earlier: Index | None = None,
    most: int = 1000,
) -> Index:
    written = io.BytesIO()
    with scratch(folder / "index") as tables:
        present = read_shards(tables, shards.items())
        read_earlier(tables, earlier, present)
        names = join(tables, present, earlier.names if earlier else [], most)
        write_joined(written, names, tables)
    return opened(written)


def pairs(index: Index) -> Iterator[tuple[int, str]]:
    for starts, where in index.rows():
        yield from zip(starts.tolist(), [index.names[file] for file in where], strict=True)


def expected(shards: Mapping[str, Sequence[str]]) -> list[tuple[int, str]]:
    return sorted((int(one[:16], 16), name) for name in shards for one in shards[name])


def test_the_files_of_contents_are_found(tmp_path: Path) -> None:
    shards = {name: contents(name) for name in "stu"}
    index = index_of(tmp_path, shards)
    assert [*pairs(index)] == expected(shards)
    assert index.holders([content("s3"), content("u0"), content("new")]) == {"s", "u"}
    assert index.holders([]) == index_of(tmp_path, {}).holders(shards["s"]) == set()


def test_numpy_reads_an_index_and_writes_one(tmp_path: Path) -> None:
    shards = {name: contents(name) for name in "stu"}
    written = io.BytesIO()
    index = index_of(tmp_path, shards)
    starts, where = (np.concatenate(column) for column in zip(*index.rows(), strict=True))
    write_index(written, index.names, len(starts), [starts], [where])
    with np.load(io.BytesIO(written.getvalue()), allow_pickle=False) as found:
        assert found["names"].tolist() == ["s", "t", "u"]
        assert (found["starts"].dtype, found["where"].dtype) == (np.uint64, np.uint32)
        assert [*zip(found["starts"].tolist(), found["names"][found["where"]], strict=True)] == [
            *pairs(index)
        ]
        by_numpy = io.BytesIO()
        np.savez(by_numpy, names=found["names"], starts=found["starts"], where=found["where"])
    assert [*pairs(opened(by_numpy))] == [*pairs(index)]


def test_an_index_without_some_files_finds_the_others_only(tmp_path: Path) -> None:
    shards = {name: contents(name) for name in "stu"}
    written = io.BytesIO()
    write_without(written, index_of(tmp_path, shards), {"s", "u", "unknown"})
    index = opened(written)
    assert index.holders([content("s3"), content("u0"), content("t1")]) == {"s", "u"}
    assert index.names == ["s", "u"]
    assert [*pairs(index)] == expected({"s": shards["s"], "u": shards["u"]})


def test_earlier_files_stay_while_there_is_room(tmp_path: Path) -> None:
    earlier = index_of(tmp_path, {name: contents(name) for name in "abcd"})
    # The new file `n` has all of b and a part of c. File d is of this run as well.
    now = {"n": [*contents("b"), *contents("c", 2)], "d": contents("d")}
    for most, kept in ((100, "ac"), (22, "ac"), (21, "a"), (17, "a"), (16, ""), (0, "")):
        index = index_of(tmp_path, now, earlier, most)
        assert index.names == ["n", "d", *kept], most
        assert sorted(pairs(index)) == expected(now | {name: contents(name) for name in kept})


def test_kept_files_do_not_add_statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement is written to disk, which takes milliseconds."""
    monkeypatch.setattr(cache_index, "_ROWS", 1 << 18)
    statements: list[str] = []

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(tables: Scratch, sql: str, *values: object) -> Any:  # noqa: ANN401
            statements.append(sql)
            return method(tables, sql, *values)

        return call

    for name in ("rows", "run"):
        monkeypatch.setattr(Scratch, name, watched(getattr(Scratch, name)))
    counts = []
    for kept in (1, 50):
        earlier = index_of(tmp_path, {f"{name}": contents(f"{name} ") for name in range(kept)})
        statements.clear()
        assert len(index_of(tmp_path, {"n": contents("n")}, earlier).names) == 1 + kept
        counts.append(len(statements))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(
    ("starts", "where"),
    [([1, 2], [0]), ([1], [1]), ([1.5], [0]), ([[1]], [0])],
)
def test_arrays_that_do_not_belong_together_are_refused(
    starts: list[int], where: list[int]
) -> None:
    written = io.BytesIO()
    np.savez(
        written,
        names=np.array(["s"]),
        starts=np.array(starts) if 1.5 in starts else np.array(starts, np.uint64),
        where=np.array(where, np.uint32),
    )
    with pytest.raises(ValueError, match="do not belong together"):
        opened(written).holders([content("s")])
