"""CSV tables: written whole or not at all, read back with the types of their schema."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from meanface.errors import AccountingError
from meanface.files.atomic import replacing
from meanface.files.schemas import Schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


_BATCH = 1 << 14  # rows that are Python objects at a time
_ROWS, _TABLES = 1 << 17, 256  # joined at a time; a table takes 10 kB beside its content


def write_table(target: Path, schema: Schema, rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table: UTF-8, quoted as in RFC 4180, line feeds at the ends of rows."""
    with replacing(target) as part, part.open("w", encoding="utf-8", newline="") as stream:
        for some in _batches(chain([tuple(schema)], rows)):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(some)
            if "\r" in text.getvalue():
                # The csv module quotes line feeds, but no carriage return.
                text = io.StringIO()
                plain = csv.writer(text, lineterminator="\n")
                quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
                for row in some:
                    returns = any(isinstance(value, str) and "\r" in value for value in row)
                    (quoted if returns else plain).writerow(row)
            stream.write(text.getvalue())


def _batches(rows: Iterable[Sequence[object]]) -> Iterator[list[Sequence[object]]]:
    remaining = iter(rows)
    while some := list(islice(remaining, _BATCH)):
        yield some


def rows_of(table: "pd.DataFrame") -> Iterator[tuple[object, ...]]:
    """Yield the rows of a table as Python objects, which exist for a batch of rows at a time."""
    for start in range(0, len(table), _BATCH):
        some = table.iloc[start : start + _BATCH]
        yield from zip(*(some[name].tolist() for name in some), strict=True)


def read_rows(stream: TextIO, schema: Schema, *, gaps: bool = False) -> Iterator[list[Any]]:
    """Yield the rows of a CSV table, each value of its column's type.

    With `gaps` a number may be missing: None. Raises ValueError where the table is damaged or has
    other columns.
    """
    rows = csv.reader(stream, strict=True)
    numbers = [(index, kind) for index, kind in enumerate(schema.values()) if kind is not str]
    try:
        if next(rows, None) != list(schema):
            raise ValueError(_other_columns(schema))
        for row in rows:
            if len(row) != len(schema):
                raise ValueError(f"a row has {len(row)} columns, not {len(schema)}")
            typed: list[Any] = row
            for index, kind in numbers:
                typed[index] = None if gaps and not row[index] else kind(row[index])
            yield typed
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _other_columns(schema: Schema) -> str:
    return f"its columns are not {', '.join(schema)}"


def read_table(
    source: Path, schema: Schema, columns: list[str] | None = None, *, gaps: bool = False
) -> "pd.DataFrame":
    """Read a table that write_table wrote, or only some `columns` of it. Text stays text.

    With `gaps` a float may be missing: nan.
    """
    import pandas as pd  # takes half a second, which encode jobs save

    missing = [name for name, kind in schema.items() if kind is float] if gaps else []
    return pd.read_csv(
        source,
        keep_default_na=False,
        na_values={name: [""] for name in missing},
        dtype=dict(schema),
        usecols=columns,
        encoding="utf-8",
    )


def arrow_schema(schema: Schema) -> "pa.Schema":
    """Give the types of a table's columns in Arrow."""
    import pyarrow as pa

    # large_string: the offsets of string have 32 bits, which limits a column to 2 GiB.
    types = {str: pa.large_string(), int: pa.int64(), float: pa.float64()}
    return pa.schema([(name, types[kind]) for name, kind in schema.items()])


def read_tables(
    sources: Sequence[Path], schema: Schema, *, gaps: bool = False
) -> "Iterator[pa.Table]":
    """Yield the rows of many tables, those of some files at a time, the first time without rows.

    A last column, `number`, numbers the files from 0. With `gaps` a number may be missing: null.
    Raises AccountingError that names a damaged table.
    """
    import pyarrow as pa
    from pyarrow import csv

    types = arrow_schema(schema)
    options = (
        csv.ReadOptions(use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=[""] * gaps),
    )
    header = f"{','.join(schema)}\n".encode()
    yield types.append(pa.field("number", pa.int64())).empty_table()
    tables: list[pa.Table] = []
    held = 0
    for number, source in enumerate(sources):
        content = source.read_bytes()
        if content == header:
            continue
        try:
            table = csv.read_csv(pa.BufferReader(content), *options)
            if table.column_names != list(schema):
                raise ValueError(_other_columns(schema))
        except (pa.ArrowException, ValueError) as error:
            raise AccountingError(f"{source} is damaged: {error}") from error
        tables.append(table.append_column("number", pa.repeat(number, len(table))))
        held += len(table)
        if held > _ROWS or len(tables) == _TABLES:
            yield pa.concat_tables(tables)
            tables, held = [], 0
    if tables:
        yield pa.concat_tables(tables)
