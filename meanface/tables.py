"""The CSV tables of a run: their columns, and how a row is written and read."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meanface.errors import AccountingError
from meanface.files import replacing

if TYPE_CHECKING:
    import pandas as pd

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


def identity_of(path: str) -> str:
    """Give the person a photo shows: the name of its folder, "" where it lies in none."""
    return path.rpartition("/")[0].rpartition("/")[2]


def write_table(target: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table (UTF-8, RFC 4180 quoting, line feeds) so that it appears whole or not."""
    with replacing(target) as part, part.open("w", encoding="utf-8", newline="") as stream:
        plain = csv.writer(stream, lineterminator="\n")
        quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(columns)
        for row in rows:
            # The csv module quotes only the line ends that it writes itself.
            returns = any(isinstance(value, str) and "\r" in value for value in row)
            (quoted if returns else plain).writerow(row)


def read_table(source: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read `columns`, or all, of a table that write_table wrote; text stays text."""
    import pandas as pd  # half a second that an encode job need not spend

    return pd.read_csv(
        source, keep_default_na=False, dtype=_TEXT, usecols=columns, encoding="utf-8"
    )


def read_tables(sources: Sequence[Path], columns: Sequence[str]) -> "pd.DataFrame":
    """Read the tables of all shards into one, with the number of each row's table as `shard`.

    Raises AccountingError that names a table which is damaged.
    """
    import pyarrow as pa
    from pyarrow import csv

    types = {
        name: pa.string() if name in _TEXT else pa.float64() if name == "score" else pa.int64()
        for name in columns
    }
    tables = []
    for number, source in enumerate(sources):
        try:
            table = csv.read_csv(
                source,
                csv.ReadOptions(use_threads=False),
                csv.ParseOptions(newlines_in_values=True),
                csv.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=[]),
            )
            if table.column_names != list(columns):
                raise ValueError(f"its columns are not {', '.join(columns)}")
        except (pa.ArrowException, ValueError) as error:
            raise AccountingError(f"{source} is damaged: {error}") from error
        shard = pa.array(np.full(len(table), number))
        tables.append(table.append_column("shard", shard))
    joined: pd.DataFrame = pa.concat_tables(tables).combine_chunks().to_pandas()
    return joined
