"""The files of outcomes: a table of faces and failures, and the embeddings of the faces.

The key of a row is the sha256 of the photo's content, not its path. So the files stay valid when
photos are renamed, and the cache keeps them for later runs.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from meanface.engine.face import Face
from meanface.engine.outcome import DIMENSIONS, EncodedFace, Failure, Outcome
from meanface.errors import AccountingError
from meanface.files.arrays import save_array
from meanface.files.schemas import FACE, FAILURE, OUTCOMES
from meanface.files.tables import read_rows, read_tables, write_table

if TYPE_CHECKING:
    import pyarrow as pa


def write_outcomes(outcomes: Mapping[str, Outcome], embeddings: Path, table: Path) -> None:
    """Write the outcomes of photos, given by sha256, in this order.

    `table`, OUTCOMES, gets a row per face, and a row with a `reason` per photo that failed.
    `embeddings`, float32 (n, 128), has a row for each row of a face, in the same order.
    """
    faces = [
        face
        for outcome in outcomes.values()
        if not isinstance(outcome, Failure)
        for face in outcome
    ]
    stacked = np.empty((len(faces), DIMENSIONS), dtype=np.float32)
    for index, face in enumerate(faces):
        stacked[index] = face.embedding
    save_array(embeddings, stacked)
    write_table(table, OUTCOMES, _rows_of(outcomes))


def read_outcomes(embeddings: BinaryIO, table: BinaryIO) -> dict[str, Outcome]:
    """Read what write_outcomes wrote. Raises ValueError where a file is damaged."""
    try:
        rows = np.load(embeddings, allow_pickle=False)
    except Exception as error:  # numpy parses the header as Python, which may raise anything
        raise ValueError(f"the embeddings are damaged: {error}") from error
    text = io.TextIOWrapper(table, encoding="utf-8", newline="")
    lines = list(read_rows(text, OUTCOMES, gaps=True))
    found = sum(reason == "" for *_, reason, _ in lines)
    if rows.dtype != np.float32 or rows.shape != (found, DIMENSIONS):
        raise ValueError(f"embeddings {rows.dtype} {rows.shape} for {found} faces")
    if not np.isfinite(rows).all():
        raise ValueError("an embedding is not finite")
    remaining = iter(rows)
    outcomes: dict[str, Outcome] = {}
    for sha256, faces, left, top, right, bottom, score, detector, angle, reason, detail in lines:
        known = outcomes.get(sha256, [])
        if isinstance(known, Failure) or (known and reason):
            raise ValueError(f"{sha256} is there twice")
        if reason:
            outcomes[sha256] = Failure(reason, detail)
            continue
        if None in (faces, left, top, right, bottom, score, angle):
            raise ValueError(f"a face of {sha256} lacks a value")
        face = Face(left, top, right, bottom, score)
        encoded = EncodedFace(faces, face, detector, angle, next(remaining))
        outcomes[sha256] = [*known, encoded]
    return outcomes


def read_contents(sources: Sequence[Path]) -> Iterator[list[str]]:
    """Yield the contents (sha256, in order) of each table that write_outcomes wrote.

    Tables without rows are left out.
    """
    for table in read_tables(sources, OUTCOMES, gaps=True):
        rows = zip(table["number"].to_pylist(), table["sha256"].to_pylist(), strict=True)
        for _, theirs in groupby(rows, itemgetter(0)):
            yield list(dict.fromkeys(sha256 for _, sha256 in theirs))


def read_tables_of_outcomes(sources: Sequence[Path]) -> "Iterator[tuple[pa.Table, pa.Table]]":
    """Yield the rows of many tables, those of some files at a time: faces, and failures.

    In both, `number` numbers the files from 0. Raises AccountingError that names a damaged table.
    """
    import pyarrow.compute as pc  # takes half a second, which encode jobs save

    for table in read_tables(sources, OUTCOMES, gaps=True):
        is_face = pc.equal(table["reason"], "")
        faces = table.filter(is_face).select(["sha256", *FACE, "angle", "number"])
        for column in faces.columns:
            if column.null_count:
                number = faces.filter(pc.is_null(column))["number"][0].as_py()
                raise AccountingError(f"{sources[number]} is damaged: a face lacks a value")
        yield faces, table.filter(pc.invert(is_face)).select(["sha256", *FAILURE, "number"])


def _rows_of(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[object, ...]]:
    for sha256, outcome in outcomes.items():
        if isinstance(outcome, Failure):
            yield (sha256, *[""] * len(FACE), "", outcome.reason, outcome.detail)
        else:
            for row in outcome:
                face = row.face
                box = (face.left, face.top, face.right, face.bottom)
                found = (row.faces, *box, round(face.score, 6), row.detector)
                yield (sha256, *found, round(row.angle, 1), "", "")
