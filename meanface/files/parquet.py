"""Parquet tables: one file, or a folder of files named part-00000.parquet and so on.

DuckDB, pandas and Polars read a file and a folder alike, by the same path.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from meanface.files.atomic import replacing

if TYPE_CHECKING:
    import pandas as pd

_ROW_GROUP = 1 << 18  # rows in a row group, and in memory when they are written
_ROWS = 1 << 16  # in memory at a time


def write_parquet(
    target: Path, schema: pa.Schema, tables: Iterable[pa.Table], file_rows: int | None = None
) -> None:
    """Write tables, one below the other. With `file_rows`, a file has so many rows at most.

    `target` becomes a file without `file_rows`, and else a folder. At least one table has rows.
    """
    groups = _groups(tables, min(_ROW_GROUP, file_rows or _ROW_GROUP))
    with replacing(target) as part:
        if file_rows is None:
            _write(part, schema, groups)
            return
        in_file = max(1, file_rows // _ROW_GROUP)
        part.mkdir()
        for number, some in groupby(enumerate(groups), lambda group: group[0] // in_file):
            _write(part / f"part-{number:05}.parquet", schema, (group for _, group in some))


def read_parquet(source: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table that write_parquet wrote, or only some `columns` of it."""
    # By default, pyarrow makes a column of a folder that is named like `faces=3`.
    return pq.read_table(_files(source), columns=columns, memory_map=True, partitioning=None)


def read_batches(
    source: Path, rows: int, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield a table that write_parquet wrote, `rows` at a time."""
    for file in _files(source):
        with pq.ParquetFile(file) as table:
            yield from table.iter_batches(rows, columns=columns)


def read_frame(source: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a table that write_parquet wrote for pandas, or only some `columns` of it."""
    frame: pd.DataFrame = read_parquet(source, columns).to_pandas()
    return frame


class Columns:
    """The columns of text of a table as Parquet, which are read when they are needed."""

    def __init__(self, source: Path) -> None:
        self._source = source

    def __getitem__(self, name: str) -> Iterator[str]:
        """Yield the values of a column."""
        for batch in read_batches(self._source, _ROWS, [name]):
            yield from batch[name].to_pylist()


def _files(table: Path) -> Sequence[Path]:
    return sorted(table.glob("part-*.parquet")) if table.is_dir() else [table]


def _write(target: Path, schema: pa.Schema, groups: Iterable[pa.Table]) -> None:
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for group in groups:
            writer.write_table(group, row_group_size=_ROW_GROUP)


def _groups(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Join or cut tables to groups of `rows`, the last one smaller."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(map(len, held)) >= rows:
            joined = pa.concat_tables(held)
            yield joined[:rows].combine_chunks()
            held = [joined[rows:]]
    if sum(map(len, held)):
        yield pa.concat_tables(held).combine_chunks()
