"""The table of persons holds the copies of photos too."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.persons import synthetic_faces
from meanface.files.schemas import PEOPLE
from meanface.files.tables import read_table
from meanface.results.person_tables import write_people


def test_copies_count_in_the_size_and_the_number_of_a_person(tmp_path: Path) -> None:
    faces, person = synthetic_faces(np.array([4, 3]))
    copied = np.flatnonzero(person == 1)
    faces = np.concatenate([faces, faces[copied]])
    person = np.concatenate([person, person[copied]])
    embeddings, table = tmp_path / "embeddings.npy", tmp_path / "faces.parquet"
    np.save(embeddings, faces)
    paths = [f"{number:02d}.jpg" for number in range(len(faces))]
    pd.DataFrame({"path": paths, "identity": ""}).to_parquet(table)
    people, report = tmp_path / "people.csv", tmp_path / "people.json"
    numbers = write_people(
        embeddings, table, same_person=0.86, threads=1, people=people, report=report
    )
    found = read_table(people, PEOPLE)
    assert found["person"].tolist() == np.where(person == 1, 1, 2).tolist()
    assert found["size"].tolist() == np.where(person == 1, 6, 4).tolist()
    assert (numbers["faces_of_the_largest"], numbers["different_faces"]) == (6, 7)
    assert found.groupby("person")["medoid"].sum().tolist() == [1, 1]
