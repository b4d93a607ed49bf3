"""Results of people and verify are read only if they are of the present faces."""

from pathlib import Path

import pandas as pd
import pytest

from meanface.files.json_files import write_json
from meanface.files.schemas import PEOPLE, VERIFICATION
from meanface.files.tables import write_table
from meanface.report.beside import read_error_rates, read_persons
from meanface.results.made_of import made_of

FACES = pd.DataFrame({"path": ["a/1", "a/2"], "identity": ["a", "a"], "duplicate_of": ["", ""]})
FAILURES = pd.DataFrame({"path": ["b/1"]})
PERSON = ["path", "identity"]


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    (tmp_path / "embeddings.npy").write_bytes(b"vectors")
    return tmp_path / "embeddings.npy"


def test_persons_of_other_faces_are_not_read(tmp_path: Path, embeddings: Path) -> None:
    table, summary = files = tmp_path / "people.csv", tmp_path / "people.json"
    write_table(table, PEOPLE, [("a/1", 1, 1, 2, 0.25, 1), ("a/2", 1, 1, 2, 0.25, 0)])
    write_json(summary, {"made_of": made_of(embeddings, *(FACES[name] for name in PERSON))})
    found = read_persons(files, embeddings, FACES, FAILURES)
    assert found is not None
    assert found.table["person"].tolist() == [1, 1]
    # A failed photo shows no person.
    assert read_persons(files, embeddings, FACES, FAILURES[:0]) is not None
    assert read_persons(files, embeddings, FACES.assign(identity="b"), FAILURES) is None
    embeddings.write_bytes(b"others")
    assert read_persons(files, embeddings, FACES, FAILURES) is None
    write_json(summary, {"persons": 1})  # as earlier versions wrote it
    assert read_persons(files, embeddings, FACES, FAILURES) is None


def test_error_rates_of_other_photos_are_not_read(tmp_path: Path, embeddings: Path) -> None:
    table, summary = files = tmp_path / "verification.csv", tmp_path / "verification.json"
    write_table(table, VERIFICATION, [("", 0.5, 0, "", "", "", 1, 1.0, 0.5, 1.0)])
    columns = (FACES[name] for name in ("path", "identity", "duplicate_of"))
    write_json(summary, {"made_of": made_of(embeddings, *columns, FAILURES["path"])})
    found = read_error_rates(files, embeddings, FACES, FAILURES)
    assert found is not None
    assert found.table["fmr"].isna().all()
    assert read_error_rates(files, embeddings, FACES, FAILURES[:0]) is None
    copy = FACES.assign(duplicate_of=["", "a/1"])
    assert read_error_rates(files, embeddings, copy, FAILURES) is None
