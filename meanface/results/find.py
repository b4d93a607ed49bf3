"""Find the faces and persons that are nearest to the faces of query photos."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from meanface.engine.face import Face
from meanface.engine.outcome import DIMENSIONS, Failure
from meanface.errors import AccountingError
from meanface.files.parquet import read_parquet
from meanface.files.schemas import PEOPLE
from meanface.files.tables import read_table
from meanface.results.cells import Cells, search
from meanface.results.false_matches import FalseMatches
from meanface.results.outcomes import read_outcomes
from meanface.shards.manifest import read_manifest

FACES, PERSONS = 20, 10
"""How many of the nearest faces, and of the nearest persons, a query face gets."""
_DEPTH = 1000  # nearest faces among which the nearest persons are looked for


@dataclass(frozen=True)
class Query:
    """The faces of query photos, in order, and the photos without a face.

    * `path` and `number`: the photo of each face, and the face's number in the photo, from 1.
    * `faces`: their boxes; `embeddings`, float32 (n, 128).
    * `failed`: path, reason and detail of each failed photo.
    """

    path: list[str]
    number: list[int]
    faces: list[Face]
    embeddings: NDArray[np.float32]
    failed: list[tuple[str, str, str]]

    def table(self) -> pd.DataFrame:
        """Give the columns path, face (the number), shard ("query"), and those of Face."""
        columns = [field.name for field in fields(Face)]
        boxes = pd.DataFrame(map(asdict, self.faces), columns=columns)
        return boxes.assign(path=self.path, face=self.number, shard="query")


def manifest_columns(manifest: Path) -> tuple[list[str], list[str]]:
    """Give path and sha256 of the query photos: what a search was made of, beside the faces."""
    rows = [(path, sha256) for path, _, sha256 in read_manifest(manifest)]
    return [path for path, _ in rows], [sha256 for _, sha256 in rows]


def read_query(manifest: Path, embeddings: Path, outcomes: Path) -> Query:
    """Read the query's photos from its manifest and from what encode_shard wrote."""
    with embeddings.open("rb") as vectors, outcomes.open("rb") as table:
        known = read_outcomes(vectors, table)
    query = Query([], [], [], np.empty((0, DIMENSIONS), np.float32), [])
    rows = []
    for path, size, sha256 in read_manifest(manifest):
        if not sha256:
            why = ("too_large", f"{size} bytes") if size else ("unreadable", "see the log")
            query.failed.append((path, *why))
        elif isinstance(outcome := known[sha256], Failure):
            query.failed.append((path, outcome.reason, outcome.detail))
        else:
            for number, one in enumerate(outcome, 1):
                query.path.append(path)
                query.number.append(number)
                query.faces.append(one.face)
                rows.append(one.embedding)
    return replace(query, embeddings=np.array(rows)) if rows else query


@dataclass(frozen=True)
class Searched:
    """The faces that are searched: row i of `embeddings` belongs to row i of the columns.

    `person` (n,) has the persons of people.csv; None where there is no people.csv.
    """

    embeddings: NDArray[np.float32]
    path: pa.ChunkedArray
    identity: pa.ChunkedArray
    person: NDArray[np.int64] | None

    @classmethod
    def read(cls, embeddings: Path, faces: Path, people: Path | None) -> "Searched":
        """Read the merged embeddings, faces.parquet and people.csv.

        Raises AccountingError where they do not belong together.
        """
        vectors = np.load(embeddings, mmap_mode="r", allow_pickle=False)
        table = read_parquet(faces, ["path", "identity"])
        person = None
        if people:
            person = read_table(people, PEOPLE, ["person"])["person"].to_numpy()
        for file, rows in ((faces, table), (people, person)):
            if rows is not None and len(rows) != len(vectors):
                raise AccountingError(f"{file}: {len(rows)} rows for {len(vectors)} embeddings")
        return cls(vectors, table["path"], table["identity"], person)

    def face_of(self, row: int) -> int:
        """Give the number of the face in its photo, from 1."""
        first = row
        while first and self.path[first - 1] == self.path[row]:
            first -= 1
        return row - first + 1

    def known_as(self, row: int) -> Hashable:
        """Give what tells the person of a face from others; None for a face without a name."""
        if self.person is not None:
            return int(self.person[row])
        return self.identity[row].as_py() or None


def find(
    query: Query, searched: Searched, cells: Cells, rates: FalseMatches, *, threads: int = 1
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the table FIND: for each query face the nearest, nearest first.

    They are the FACES nearest faces, and the nearest face of each of the PERSONS nearest persons
    where the 1,000 nearest faces show so many.
    """
    near = search(
        searched.embeddings,
        query.embeddings,
        cells,
        most=min(_DEPTH, len(searched.embeddings)),
        threads=threads,
    )
    for path, face, rows, distances in zip(
        query.path, query.number, near.rows, near.distances, strict=True
    ):
        for rank, row, person_rank in _chosen(rows[rows >= 0].tolist(), searched):
            distance = round(float(distances[rank - 1]), 6)
            yield (
                *(path, face, rank),
                searched.path[row].as_py(),
                searched.face_of(row),
                searched.identity[row].as_py(),
                0 if searched.person is None else int(searched.person[row]),
                distance,
                f"{rates.rate(distance):.6g}",
                person_rank,
            )


def _chosen(rows: Sequence[int], searched: Searched) -> Iterator[tuple[int, int, int]]:
    """Yield rank, row and the rank of its person, 0 for all but the person's nearest face."""
    seen: set[Hashable] = {None}
    for rank, row in enumerate(rows, 1):
        known = searched.known_as(row)
        is_first = known not in seen and len(seen) <= PERSONS
        seen |= {known} if is_first else set()
        if rank <= FACES or is_first:
            yield rank, row, is_first * (len(seen) - 1)
        elif len(seen) > PERSONS:
            return
