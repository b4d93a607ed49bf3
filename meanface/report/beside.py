"""Results of other targets that the report shows where they are of the same faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from meanface.files.json_files import read_json
from meanface.files.parquet import Columns
from meanface.files.schemas import AUDIT, FIND, PEOPLE, VERIFICATION, Schema
from meanface.files.tables import read_table
from meanface.results.find import manifest_columns, read_query
from meanface.results.made_of import made_of

Faces: TypeAlias = pd.DataFrame | Columns
"""The table of faces. Only its columns of text are read."""


@dataclass(frozen=True)
class Beside:
    """A table and the summary beside it, such as people.csv and people.json.

    `query` has the faces of the query photos, see Query.table; the target find alone has one.
    """

    table: pd.DataFrame
    summary: Mapping[str, Any]
    query: pd.DataFrame | None = None


def read_persons(
    files: Sequence[Path], embeddings: Path, faces: Faces, failures: pd.DataFrame
) -> Beside | None:
    """Read people.csv and people.json; None where they are of other embeddings, paths or names.

    `faces` and `failures` are the present tables, the rows of `embeddings` are those of `faces`.
    """
    columns = (faces[name] for name in ("path", "identity"))
    return _read(files, PEOPLE, made_of(embeddings, *columns))


def read_error_rates(
    files: Sequence[Path], embeddings: Path, faces: Faces, failures: pd.DataFrame
) -> Beside | None:
    """Read verification.csv and verification.json; None where they are of other photos."""
    columns = (faces[name] for name in ("path", "identity", "duplicate_of"))
    made = made_of(embeddings, *columns, failures["path"])
    return _read(files, VERIFICATION, made, gaps=True)


def read_audit(
    files: Sequence[Path], embeddings: Path, faces: Faces, failures: pd.DataFrame
) -> Beside | None:
    """Read audit.csv and audit.json; None where they are of other embeddings, paths or names."""
    columns = (faces[name] for name in ("path", "identity", "duplicate_of"))
    return _read(files, AUDIT, made_of(embeddings, *columns))


def read_found(
    files: Sequence[Path], embeddings: Path, faces: Faces, failures: pd.DataFrame
) -> Beside | None:
    """Read find.csv, find.json and the query's manifest, embeddings and outcomes.

    None where find.csv is of other faces, or of another query. The photos may follow the outcomes.
    """
    table, summary, manifest, vectors, outcomes, *_ = files
    columns = (faces[name] for name in ("path", "identity"))
    made = made_of(embeddings, *columns, *manifest_columns(manifest))
    found = _read([table, summary], FIND, made)
    return found and replace(found, query=read_query(manifest, vectors, outcomes).table())


def _read(files: Sequence[Path], schema: Schema, made: str, *, gaps: bool = False) -> Beside | None:
    """Read a table and its summary; None where they were not made of what `made` is the digest."""
    table, path = files
    summary = read_json(path)
    if summary.get("made_of") != made:
        return None
    return Beside(read_table(table, schema, gaps=gaps), summary)
