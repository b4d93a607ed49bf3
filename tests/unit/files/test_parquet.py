"""Parquet tables: a file and a folder hold the same rows, for every tool by the same path."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meanface.files.parquet import read_batches, read_frame, read_parquet, write_parquet

SCHEMA = pa.schema([("path", pa.large_string()), ("row", pa.int64())])
ROWS = 100


def tables(size: int, count: int = ROWS) -> Iterator[pa.Table]:
    """Give a table of `count` rows in pieces of `size`, an empty one among them."""
    rows = range(count)
    yield SCHEMA.empty_table()
    for start in rows[::size]:
        some = rows[start : start + size]
        yield pa.table({"path": [f"é{9 - row % 10}" for row in some], "row": some}, SCHEMA)


@pytest.mark.parametrize(("size", "file_rows"), [(7, 30), (50, 7), (10, 10), (100, 1000)])
def test_a_folder_holds_the_rows_in_order(tmp_path: Path, size: int, file_rows: int) -> None:
    expected = pa.concat_tables(tables(size)).to_pandas()
    target = tmp_path / "faces.parquet"
    write_parquet(target, SCHEMA, tables(size), file_rows)
    (target / ".snakemake_timestamp").touch()
    sizes = [pq.read_metadata(part).num_rows for part in sorted(target.glob("part-*.parquet"))]
    assert sizes == [file_rows] * (ROWS // file_rows) + [ROWS % file_rows] * (ROWS % file_rows > 0)
    assert (target / "part-00000.parquet").exists()
    pd.testing.assert_frame_equal(read_frame(target), expected)
    pd.testing.assert_frame_equal(pd.read_parquet(target), expected)
    assert duckdb.read_parquet(str(target)).project("row").fetchall() == [
        (row,) for row in range(ROWS)
    ]
    rows = [row for batch in read_batches(target, 9, ["row"]) for row in batch["row"].to_pylist()]
    assert rows == [*range(ROWS)]


def test_the_name_of_a_folder_is_no_column(tmp_path: Path) -> None:
    target = tmp_path / "row=5/results/faces.parquet"
    target.parent.mkdir(parents=True)
    for file_rows in (None, 30):
        write_parquet(target, SCHEMA, tables(10), file_rows)
        assert read_parquet(target)["row"].to_pylist() == [*range(ROWS)]


def test_a_file_and_a_folder_replace_each_other(tmp_path: Path) -> None:
    target = tmp_path / "faces.parquet"
    for count, file_rows in ((100, 10), (30, 10), (20, None), (50, 10)):
        write_parquet(target, SCHEMA, tables(10, count), file_rows)
        assert target.is_dir() == (file_rows is not None)
        assert read_parquet(target, ["row"])["row"].to_pylist() == [*range(count)]
        assert [*tmp_path.iterdir()] == [target]


def test_a_folder_that_cannot_be_written_whole_leaves_what_was_there(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.Table]:
        yield from tables(10, 30)
        raise ValueError("stop")

    target = tmp_path / "faces.parquet"
    write_parquet(target, SCHEMA, tables(10), 10)
    with pytest.raises(ValueError, match="stop"):
        write_parquet(target, SCHEMA, broken(), 10)
    assert read_parquet(target)["row"].to_pylist() == [*range(ROWS)]
    assert [*tmp_path.iterdir()] == [target]
