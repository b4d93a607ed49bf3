"""Results of other targets that the report shows where they are of the same faces."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from meanface.files.json_files import read_json
from meanface.files.schemas import PEOPLE, VERIFICATION
from meanface.files.tables import read_table
from meanface.results.made_of import made_of


class Beside(NamedTuple):
    """A table and the summary beside it: people.csv and people.json, or those of verification."""

    table: pd.DataFrame
    summary: Mapping[str, Any]


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
