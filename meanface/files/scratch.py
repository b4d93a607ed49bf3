"""Tables of one job on disk: joins and sorts of any size, in bounded memory.

DuckDB does the work. Its database is a folder beside the results, which the job removes.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meanface.errors import AccountingError
from meanface.files.schemas import Schema

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 1 << 14  # rows that are Python objects at a time
_TYPES = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE"}

# DuckDB takes up to half as much again.
_MEMORY = "400MB"


class Scratch:
    """A database in a folder. Other temporary files of the job may stand in the folder too."""

    def __init__(self, folder: Path) -> None:
        import duckdb  # takes 70 ms, which encode jobs save

        self.folder = folder
        # Not duckdb.Error: a table is not damaged where memory or disk run out.
        self._damaged = (duckdb.InvalidInputException, duckdb.ConversionException)
        self._database = duckdb.connect(
            folder / "tables.duckdb",
            config={
                "memory_limit": _MEMORY,
                "threads": 2,  # each thread sorts and joins in memory of its own
                "temp_directory": str(folder / "spilled"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )

    def append(self, name: str, rows: "pa.Table", select: str = "*") -> None:
        """Append rows to the table `name`, which the first call creates.

        `select` is the list of columns, as in SQL.
        """
        self._database.register("given", rows)
        self.run(f'CREATE TABLE IF NOT EXISTS "{name}" AS FROM given SELECT {select} LIMIT 0')
        self.run(f'INSERT INTO "{name}" FROM given SELECT {select}')
        self._database.unregister("given")

    def read(self, name: str, sources: Iterable[Path], schema: Schema, select: str = "*") -> None:
        """Make the table `name` of CSV tables that write_table wrote; `select` has the columns.

        Unlike `append`, this needs no pyarrow, which takes time to import. Raises AccountingError
        that names a damaged table.
        """
        types = {column: _TYPES[kind] for column, kind in schema.items()}
        for number, source in enumerate(sources):
            with source.open(encoding="utf-8", errors="replace") as stream:
                header = stream.readline().removesuffix("\n")
            if header != ",".join(schema):
                raise AccountingError(f"{source} is damaged: its columns are {header!r}")
            try:
                rows = self._database.read_csv(
                    str(source), columns=types, header=True, auto_detect=False, delimiter=","
                ).project(select)
                if number:
                    rows.insert_into(name)
                else:
                    rows.create(name)
            except self._damaged as error:
                why = str(error).splitlines()[0]
                raise AccountingError(f"{source} is damaged: {why}") from error

    def run(self, sql: str) -> None:
        """Run a statement."""
        self._database.execute(sql)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Give all rows of a query that has few. `values` replace its question marks."""
        return self._database.execute(sql, values).fetchall()

    def number(self, sql: str) -> int:
        """Give the only number of a query."""
        ((number,),) = self.rows(sql)
        return int(number)

    def tuples(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query."""
        with self._database.cursor() as cursor:
            cursor.execute(sql)
            while rows := cursor.fetchmany(_BATCH):
                yield from rows

    def batches(self, sql: str, rows: int) -> "Iterator[pa.RecordBatch]":
        """Yield the rows of a query, about `rows` at a time."""
        with self._database.cursor() as cursor:
            yield from cursor.sql(sql).to_arrow_reader(rows)

    def close(self) -> None:
        """Close the database, so that its folder can be removed."""
        self._database.close()


@contextmanager
def scratch(beside: Path) -> Iterator[Scratch]:
    """Open an empty database in a folder beside the file `beside`. Remove the folder at the end.

    A killed job leaves the folder. The next job on the same file removes it.
    """
    folder = beside.with_name(beside.name + ".scratch")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tables = Scratch(folder)
    try:
        yield tables
    finally:
        tables.close()
        shutil.rmtree(folder)
