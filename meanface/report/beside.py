"""Results of other targets that the report shows where they are of the same faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from meanface.files.json_files import read_json
from meanface.files.schemas import AUDIT, FIND, PEOPLE, VERIFICATION
from meanface.files.tables import read_table
from meanface.results.find import manifest_columns, read_query
from meanface.results.made_of import made_of


@dataclass(frozen=True)
class Beside:
    """A table and the summary beside it, such as people.csv and people.json.

    `query` has the faces of the query photos, see Query.table; the target find alone has one.
    """

    table: pd.DataFrame
    summary: Mapping[str, Any]
    query: pd.DataFrame | None = None


def read_persons(
    files: Sequence[Path], embeddings: Path, faces: pd.DataFrame, failures: pd.DataFrame
) -> Beside | None:
    """Read people.csv and people.json; None where they are of other embeddings, paths or names.

    `faces` and `failures` are the present tables, the rows of `embeddings` are those of `faces`.
    """
    table, summary = files
    columns = (faces[name] for name in ("path", "identity"))
    if read_json(summary).get("made_of") != made_of(embeddings, *columns):
        return None
    return Beside(read_table(table, PEOPLE), read_json(summary))


def read_error_rates(
    files: Sequence[Path], embeddings: Path, faces: pd.DataFrame, failures: pd.DataFrame
) -> Beside | None:
    """Read verification.csv and verification.json; None where they are of other photos."""
    table, summary = files
    columns = (faces[name] for name in ("path", "identity", "duplicate_of"))
    if read_json(summary).get("made_of") != made_of(embeddings, *columns, failures["path"]):
        return None
    return Beside(read_table(table, VERIFICATION, gaps=True), read_json(summary))


def read_audit(
    files: Sequence[Path], embeddings: Path, faces: pd.DataFrame, failures: pd.DataFrame
) -> Beside | None:
    """Read audit.csv and audit.json; None where they are of other embeddings, paths or names."""
    table, summary = files
    columns = (faces[name] for name in ("path", "identity", "duplicate_of"))
    if read_json(summary).get("made_of") != made_of(embeddings, *columns):
        return None
    return Beside(read_table(table, AUDIT), read_json(summary))


def read_found(
    files: Sequence[Path], embeddings: Path, faces: pd.DataFrame, failures: pd.DataFrame
) -> Beside | None:
    """Read find.csv, find.json and the query's manifest, embeddings and outcomes.

    None where find.csv is of other faces, or of another query. The photos may follow the outcomes.
    """
    table, summary, manifest, vectors, outcomes, *_ = files
    columns = (faces[name] for name in ("path", "identity"))
    query = manifest_columns(manifest)
    if read_json(summary).get("made_of") != made_of(embeddings, *columns, *query):
        return None
    asked = read_query(manifest, vectors, outcomes).table()
    return Beside(read_table(table, FIND), read_json(summary), asked)
