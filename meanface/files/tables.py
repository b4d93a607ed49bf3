"""The CSV tables of a run: their columns, and how a row is written and read."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from meanface.errors import AccountingError
from meanface.files.atomic import replacing

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


FACES = (
    "path",
    "identity",
    "faces",
    "left",
    "top",
    "right",
    "bottom",
    "score",
    "detector",
    "shard",
    "distance",
    "duplicate_of",
)
FAILURES = ("path", "reason", "detail", "shard")
_TEXT = dict.fromkeys(
    ("path", "identity", "detector", "reason", "detail", "shard", "sha256", "duplicate_of"), str
)

_BATCH = 1 << 14  # rows in memory as Python's objects
_TABLES = 256  # of shards, each of which takes 10 kB besides what it holds


def identity_of(path: str) -> str:
    """Give the person a photo shows: the name of its folder, "" where it lies in none."""
    return path.rpartition("/")[0].rpartition("/")[2]


def write_table(target: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table (UTF-8, RFC 4180 quoting, line feeds) so that it appears whole or not."""
    with replacing(target) as part, part.open("w", encoding="utf-8", newline="") as stream:
        for some in _batches(chain([columns], rows)):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(some)
            if "\r" in text.getvalue():
                # The csv module quotes only the line ends that it writes itself.
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
    """Give the rows of a table as Python's own objects, of few rows at a time."""
    for start in range(0, len(table), _BATCH):
        some = table.iloc[start : start + _BATCH]
        yield from zip(*(some[name].tolist() for name in some), strict=True)


def read_rows(stream: TextIO, columns: Sequence[str]) -> Iterator[list[str]]:
    """Yield the rows of a CSV table of these columns. ValueError: it is damaged, or another."""
    rows = csv.reader(stream, strict=True)
    try:
        if next(rows, None) != list(columns):
            raise ValueError(f"its columns are not {', '.join(columns)}")
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"a row has {len(row)} columns, not {len(columns)}")
            yield row
    except csv.Error as error:
        raise ValueError(str(error)) from error


def read_table(source: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read `columns`, or all, of a table that write_table wrote; text stays text."""
    import pandas as pd  # half a second that an encode job need not spend

    return pd.read_csv(
        source, keep_default_na=False, dtype=_TEXT, usecols=columns, encoding="utf-8"
    )


def read_tables(
    sources: Sequence[Path], columns: Sequence[str], *, gaps: bool = False
) -> "pa.Table":
    """Read the tables of all shards into one, with the number of each row's table as `shard`.

    With `gaps` a number may be missing: null. AccountingError names a table which is damaged.
    """
    import pyarrow as pa
    from pyarrow import csv

    types = {
        # Large: with offsets of 32 bits a column would end at 2 GiB.
        name: pa.large_string()
        if name in _TEXT
        else pa.float64()
        if name == "score"
        else pa.int64()
        for name in columns
    }
    options = (
        csv.ReadOptions(use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=[""] * gaps),
    )
    header = f"{','.join(columns)}\n".encode()
    joined = [pa.schema([*types.items(), ("shard", pa.int64())]).empty_table()]
    tables: list[pa.Table] = []
    for number, source in enumerate(sources):
        content = source.read_bytes()
        if content == header:
            continue
        try:
            table = csv.read_csv(pa.BufferReader(content), *options)
            if table.column_names != list(columns):
                raise ValueError(f"its columns are not {', '.join(columns)}")
        except (pa.ArrowException, ValueError) as error:
            raise AccountingError(f"{source} is damaged: {error}") from error
        tables.append(table.append_column("shard", pa.repeat(number, len(table))))
        if len(tables) == _TABLES:
            joined.append(pa.concat_tables(tables).combine_chunks())
            tables.clear()
    return pa.concat_tables([*joined, *tables])
