"""The faces that the report may show: a bounded number of the rows of a table of any size.

Beyond MOST faces, the report reads MOST faces drawn at random, and all faces that a section looks
for by their values: those of the largest persons, the extremes, the first copies, and the faces
that other targets name.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from meanface.files.parquet import read_batches, read_frame
from meanface.files.scratch import Scratch, scratch
from meanface.report.results import Drawn

MOST = 250_000
"""Faces that are drawn at random."""

_OF_PERSON = 2000  # faces of a person that the report needs at most
_FEW = 200  # more than a section shows of one kind
_ROWS = 1 << 16  # in memory at a time

# selection.shuffled sorts in the same way. So a sample of these faces is a sample of all faces.
_SHUFFLED = """
    CREATE TABLE shuffled AS SELECT rowid AS row, sha256(path)[:16] AS key, identity FROM faces
"""
_DRAWN = "CREATE TABLE drawn AS SELECT row FROM shuffled ORDER BY key, row LIMIT ?"
_CHOSEN = """
    CREATE TABLE chosen AS
    WITH different AS (SELECT rowid AS row, * FROM faces WHERE duplicate_of = ''),
    copied AS (SELECT path FROM faces WHERE duplicate_of <> ''
        GROUP BY path ORDER BY min(rowid) LIMIT $few),
    copies AS (SELECT rowid AS row, * FROM faces SEMI JOIN copied USING (path))
    SELECT row FROM drawn
    UNION (SELECT row FROM shuffled SEMI JOIN largest USING (identity)
        QUALIFY row_number() OVER (PARTITION BY identity ORDER BY key, row) <= $of_person)
    UNION (SELECT row FROM different ORDER BY distance, row LIMIT $few)
    UNION (SELECT row FROM different ORDER BY distance DESC, row LIMIT $few)
    UNION (SELECT row FROM different ORDER BY least("right" - "left", bottom - top), row LIMIT $few)
    UNION (SELECT row FROM different ORDER BY abs(angle) DESC, row LIMIT $few)
    UNION (SELECT row FROM different QUALIFY $few >= row_number() OVER
        (PARTITION BY split_part(detector, '@', 1) ORDER BY score, row))
    UNION SELECT row FROM copies
    UNION SELECT rowid FROM faces SEMI JOIN copies ON faces.path = copies.duplicate_of
    UNION SELECT rowid FROM faces SEMI JOIN named USING (path)
"""
_READ = """
    SELECT faces.*, faces.rowid AS row, drawn.row IS NOT NULL AS is_drawn
    FROM faces JOIN chosen ON faces.rowid = chosen.row LEFT JOIN drawn ON drawn.row = chosen.row
    ORDER BY row
"""
_COUNTS = """
    SELECT count(*) FILTER (duplicate_of = ''), count(DISTINCT path) FILTER (duplicate_of <> '')
    FROM faces
"""


def read_faces(
    source: Path, count: int, largest: Iterable[str], named: Iterable[str], beside: Path
) -> tuple[pd.DataFrame, Drawn | None]:
    """Read the table of `count` faces from Parquet: all of it, or what the report may show.

    The index of the table has the rows' numbers. `largest` are the persons with most photos, whose
    faces are shown, `named` the photos that other targets name. Temporary files are in a folder
    beside the file `beside`.
    """
    if count <= MOST:
        return read_frame(source), None
    with scratch(beside) as tables:
        for batch in read_batches(source, _ROWS):
            tables.append("faces", pa.table(batch))
        tables.append("largest", pa.table({"identity": pa.array(largest, pa.string())}))
        tables.append("named", pa.table({"path": pa.array(named, pa.string())}))
        return _chosen(tables)


def _chosen(tables: Scratch) -> tuple[pd.DataFrame, Drawn]:
    tables.run(_SHUFFLED)
    tables.rows(_DRAWN, MOST)
    tables.run(_CHOSEN.replace("$few", str(_FEW)).replace("$of_person", str(_OF_PERSON)))
    table = pa.Table.from_batches(tables.batches(_READ, _ROWS)).to_pandas().set_index("row")
    ((different, copies),) = tables.rows(_COUNTS)
    return table.drop(columns="is_drawn"), Drawn(table["is_drawn"].to_numpy(), different, copies)
