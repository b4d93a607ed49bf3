"""What became of photos: faces with their embeddings, or failures; and the files that hold it.

These files go by content, not by name: the key of a row is the sha256 of the photo, so that they
stay true when photos are renamed, and may be kept for later runs.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meanface.arrays import save_array
from meanface.face import Face
from meanface.tables import read_rows, write_table

DIMENSIONS = 128  # of an embedding by dlib's network


@dataclass(frozen=True)
class EncodedFace:
    """One face of a photo: where it is, what found it, its embedding float32 (128,)."""

    faces: int
    face: Face
    detector: str
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class Failure:
    """A photo without an embedding, and why."""

    reason: str
    detail: str


Outcome: TypeAlias = list[EncodedFace] | Failure

FACES = ("sha256", "faces", "left", "top", "right", "bottom", "score", "detector")
FAILURES = ("sha256", "reason", "detail")


def write_outcomes(
    outcomes: Mapping[str, Outcome], embeddings: Path, faces: Path, failures: Path
) -> None:
    """Write outcomes, given by the sha256 of their photos, in this order.

    `embeddings` gets float32 (n, 128), whose row i belongs to row i of the table `faces`; every
    photo without a face is a row of the table `failures`.
    """
    rows = [
        (sha256, face)
        for sha256, outcome in outcomes.items()
        if not isinstance(outcome, Failure)
        for face in outcome
    ]
    stacked = np.empty((len(rows), DIMENSIONS), dtype=np.float32)
    for index, (_, face) in enumerate(rows):
        stacked[index] = face.embedding
    save_array(embeddings, stacked)
    write_table(faces, FACES, (_face_row(sha256, face) for sha256, face in rows))
    failed = (
        (sha256, outcome.reason, outcome.detail)
        for sha256, outcome in outcomes.items()
        if isinstance(outcome, Failure)
    )
    write_table(failures, FAILURES, failed)


def read_outcomes(embeddings: BinaryIO, faces: BinaryIO, failures: BinaryIO) -> dict[str, Outcome]:
    """Read what write_outcomes wrote. ValueError: it is damaged."""
    try:
        rows = np.load(embeddings, allow_pickle=False)
    except Exception as error:  # numpy reads the header as Python, in which anything may go wrong
        raise ValueError(f"the embeddings are damaged: {error}") from error
    found = list(_rows(faces, FACES))
    if rows.dtype != np.float32 or rows.shape != (len(found), DIMENSIONS):
        raise ValueError(f"embeddings {rows.dtype} {rows.shape} for {len(found)} faces")
    if not np.isfinite(rows).all():
        raise ValueError("an embedding is not finite")
    encoded: dict[str, list[EncodedFace]] = {}
    for (sha256, count, *box, score, detector), embedding in zip(found, rows, strict=True):
        left, top, right, bottom = map(int, box)
        face = Face(left, top, right, bottom, float(score))
        encoded.setdefault(sha256, []).append(EncodedFace(int(count), face, detector, embedding))
    outcomes: dict[str, Outcome] = {**encoded}
    for sha256, reason, detail in _rows(failures, FAILURES):
        if sha256 in outcomes:
            raise ValueError(f"{sha256} is there twice")
        outcomes[sha256] = Failure(reason, detail)
    return outcomes


def _rows(stream: BinaryIO, columns: Sequence[str]) -> Iterator[list[str]]:
    return read_rows(io.TextIOWrapper(stream, encoding="utf-8", newline=""), columns)


def _face_row(sha256: str, row: EncodedFace) -> tuple[object, ...]:
    face = row.face
    box = (face.left, face.top, face.right, face.bottom)
    return (sha256, row.faces, *box, round(face.score, 6), row.detector)
