"""Results of other targets are read only if they are of the present faces."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meanface.engine.face import Face
from meanface.engine.outcome import DIMENSIONS, EncodedFace, Failure
from meanface.files.json_files import write_json
from meanface.files.schemas import AUDIT, FIND, MANIFEST, PEOPLE, VERIFICATION
from meanface.files.tables import write_table
from meanface.report.beside import read_audit, read_error_rates, read_found, read_persons
from meanface.results.made_of import made_of
from meanface.results.outcomes import write_outcomes

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


def test_an_audit_of_other_faces_is_not_read(tmp_path: Path, embeddings: Path) -> None:
    table, summary = files = tmp_path / "audit.csv", tmp_path / "audit.json"
    write_table(table, AUDIT, [("unlike_all", 1, "a/1", 1, "a", "a/2", 1, "a", 0.7, 4.0)])
    columns = (FACES[name] for name in ("path", "identity", "duplicate_of"))
    write_json(summary, {"made_of": made_of(embeddings, *columns), "findings": {"unlike_all": 1}})
    found = read_audit(files, embeddings, FACES, FAILURES)
    assert found is not None
    assert found.table["score"].tolist() == [4.0]
    assert found.summary["findings"] == {"unlike_all": 1}
    for other in ({"path": ["a/1", "a/3"]}, {"identity": "b"}, {"duplicate_of": ["", "a/1"]}):
        assert read_audit(files, embeddings, FACES.assign(**other), FAILURES) is None
    embeddings.write_bytes(b"others")
    assert read_audit(files, embeddings, FACES, FAILURES) is None


def test_faces_found_of_another_query_are_not_read(tmp_path: Path, embeddings: Path) -> None:
    names = ("find.csv", "find.json", "query.csv", "query.npy", "outcomes.csv", "query.tar")
    table, summary, manifest, vectors, outcomes, _ = files = [tmp_path / name for name in names]
    write_table(table, FIND, [("q.jpg", 2, 1, "a/1", 1, "a", 0, 0.25, 0.001, 1)])
    write_table(manifest, MANIFEST, [("none.jpg", 9, "cd"), ("q.jpg", 9, "ab")])
    vector = np.zeros(DIMENSIONS, np.float32)
    faces = [EncodedFace(2, Face(at, 2, 3, 4, 0.5), "hog@0", 0.0, vector) for at in (1, 2)]
    write_outcomes({"ab": faces, "cd": Failure("no_face", "")}, vectors, outcomes)
    columns = (FACES[name] for name in ("path", "identity"))
    query = ["none.jpg", "q.jpg"], ["cd", "ab"]
    write_json(summary, {"made_of": made_of(embeddings, *columns, *query)})
    found = read_found(files, embeddings, FACES, FAILURES)
    assert found is not None
    assert found.table["path"].tolist() == ["a/1"]
    assert found.query is not None
    asked = found.query[["path", "face", "shard", "left", "bottom"]]
    assert asked.to_numpy().tolist() == [["q.jpg", 1, "query", 1, 4], ["q.jpg", 2, "query", 2, 4]]
    assert read_found(files[:-1], embeddings, FACES, FAILURES) is not None  # pictures: false
    assert read_found(files, embeddings, FACES.assign(identity="b"), FAILURES) is None
    # Another photo under the same name.
    write_table(manifest, MANIFEST, [("none.jpg", 9, "cd"), ("q.jpg", 9, "cd")])
    assert read_found(files, embeddings, FACES, FAILURES) is None
