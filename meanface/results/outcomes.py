"""What became of photos: faces with their embeddings, or failures; and the files that hold it.

These files go by content, not by name: the key of a row is the sha256 of the photo, so that they
stay true when photos are renamed, and may be kept for later runs.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
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
    import pandas as pd


def write_outcomes(outcomes: Mapping[str, Outcome], embeddings: Path, table: Path) -> None:
    """Write outcomes, given by the sha256 of their photos, in this order.

    `table` gets a row per face, or one with a `reason` for a photo that failed; `embeddings` gets
    float32 (n, 128), whose row i belongs to the table's i-th row of a face.
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
    """Read what write_outcomes wrote. ValueError: it is damaged."""
    try:
        rows = np.load(embeddings, allow_pickle=False)
    except Exception as error:  # numpy reads the header as Python, in which anything may go wrong
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
    for sha256, faces, left, top, right, bottom, score, detector, reason, detail in lines:
        known = outcomes.get(sha256, [])
        if isinstance(known, Failure) or (known and reason):
            raise ValueError(f"{sha256} is there twice")
        if reason:
            outcomes[sha256] = Failure(reason, detail)
            continue
        if None in (faces, left, top, right, bottom, score):
            raise ValueError(f"a face of {sha256} lacks a value")
        face = Face(left, top, right, bottom, score)
        encoded = EncodedFace(faces, face, detector, next(remaining))
        outcomes[sha256] = [*known, encoded]
    return outcomes


def read_tables_of_outcomes(sources: Sequence[Path]) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Read the tables of all shards: the rows of faces, and those of failures.

    Both have the number of a row's table as `shard`. AccountingError names a damaged table.
    """
    import pyarrow.compute as pc  # half a second that an encode job need not spend

    table = read_tables(sources, OUTCOMES, gaps=True)
    is_face = pc.equal(table["reason"], "")
    faces = table.filter(is_face).select(["sha256", *FACE, "shard"])
    for column in faces.columns:
        if column.null_count:
            number = faces.filter(pc.is_null(column))["shard"][0].as_py()
            raise AccountingError(f"{sources[number]} is damaged: a face lacks a value")
    failures = table.filter(pc.invert(is_face)).select(["sha256", *FAILURE, "shard"])
    del table  # what remains are copies
    return faces.combine_chunks().to_pandas(), failures.combine_chunks().to_pandas()


def _rows_of(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[object, ...]]:
    for sha256, outcome in outcomes.items():
        if isinstance(outcome, Failure):
            yield (sha256, *[""] * len(FACE), outcome.reason, outcome.detail)
        else:
            for row in outcome:
                face = row.face
                box = (face.left, face.top, face.right, face.bottom)
                yield (sha256, row.faces, *box, round(face.score, 6), row.detector, "", "")
