"""The tables of persons that were found without names, and how they agree with folders."""

from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.errors import AccountingError
from meanface.files.json_files import write_json
from meanface.files.parquet import read_frame
from meanface.files.schemas import PEOPLE
from meanface.files.tables import rows_of, write_table
from meanface.results.made_of import made_of
from meanface.results.neighbours import EXACT, nearest
from meanface.results.people import NEIGHBOURS, numbered, people_of

_MOST = 1000  # persons or folders that the JSON lists


@dataclass(frozen=True)
class BCubed:
    """How groups agree with names: the B-cubed scores (Bagga and Baldwin 1998)."""

    precision: float
    recall: float
    f: float


def bcubed(groups: NDArray[np.int64], names: NDArray[np.int64]) -> BCubed:
    """Score the group of each face against its name, both as numbers (n,), n > 0.

    A face's precision is the share of its group that has its name; its recall is the share of its
    name that is in its group. Both are averaged over the faces.
    """
    pairs = pd.DataFrame({"group": groups, "name": names}).value_counts(sort=False).reset_index()
    shared = pairs["count"]
    precision, recall = (
        float((shared**2 / shared.groupby(pairs[of]).transform("sum")).sum() / len(groups))
        for of in ("group", "name")
    )
    return BCubed(precision, recall, 2 * precision * recall / (precision + recall))


def write_people(
    embeddings: Path,
    faces: Path,
    *,
    same_person: float,
    threads: int,
    people: Path,
    report: Path,
) -> dict[str, Any]:
    """Group the merged `embeddings`, and write `people` (CSV, PEOPLE) and `report` (JSON).

    Equal embeddings count once, so that copies of a photo do not crowd out its neighbours. Returns
    the report. Raises AccountingError where the two files do not belong together.
    """
    vectors = np.load(embeddings, allow_pickle=False)
    table = read_frame(faces, ["path", "identity"])
    if len(vectors) != len(table):
        raise AccountingError(f"{embeddings}: {len(vectors)} rows for {len(table)} of {faces}")
    first, copy_of = _different(vectors)
    different = vectors[first]
    near = nearest(different, most=NEIGHBOURS, threads=threads)
    found = people_of(different, near, same_person, threads=threads)
    person = numbered(found.person[copy_of])  # copies count in the size of a person
    columns = _people_table(table["path"], person, found.cohesion[copy_of])
    write_table(people, PEOPLE, rows_of(columns))
    numbers = _report(person, table["identity"]) | {
        "method": "average linkage of distances divided by the distance of strangers",
        "same_person": same_person,
        "neighbours": "exact" if len(different) <= EXACT else "inverted file",
        "different_faces": len(different),
        "threshold": dict(
            zip(
                ("lowest", "median", "highest"),
                np.round(same_person * np.quantile(found.strangers, [0, 0.5, 1]), 6).tolist(),
                strict=True,
            )
        ),
        "made_of": made_of(embeddings, table["path"], table["identity"]),
    }
    write_json(report, numbers)
    return numbers


def _different(vectors: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the first row of each different vector, ascending, and the place of each row there."""
    bits = np.ascontiguousarray(vectors).view(f"V{vectors.itemsize * vectors.shape[1]}").ravel()
    _, first, inverse = np.unique(bits, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[inverse]


def _people_table(
    paths: "pd.Series[str]", person: NDArray[np.int64], cohesion: NDArray[np.float64]
) -> pd.DataFrame:
    """Give the columns of PEOPLE. The medoid is the face with the least cohesion distance."""
    order = np.lexsort((np.arange(len(person)), cohesion, person))
    medoid = np.zeros(len(person), dtype=np.int64)
    medoid[order[np.unique(person[order], return_index=True)[1]]] = 1
    return pd.DataFrame(
        {
            "path": paths,
            "face": paths.groupby(paths).cumcount() + 1,
            "person": person + 1,
            "size": np.bincount(person)[person],
            "cohesion": np.round(cohesion, 6),
            "medoid": medoid,
        }
    )


def _report(person: NDArray[np.int64], identity: "pd.Series[str]") -> dict[str, Any]:
    """Give counts, and how persons and folders agree; photos in no folder have no name."""
    sizes = np.bincount(person)
    named = (identity != "").to_numpy()
    numbers: dict[str, Any] = {
        "faces": len(person),
        "persons": len(sizes),
        "persons_of_one_face": int((sizes == 1).sum()),
        "faces_of_the_largest": int(sizes.max()),
        "faces_in_folders": int(named.sum()),
    }
    if not named.any():
        return numbers
    names, folder = person[named], identity[named]
    scores = bcubed(names, pd.factorize(folder)[0])
    pairs = pd.DataFrame({"person": names + 1, "folder": folder.to_numpy()})
    counts = pairs.value_counts().reset_index().sort_values(["person", "folder"])
    return numbers | {
        "folders": int(folder.nunique()),
        "bcubed": {name: round(value, 6) for name, value in asdict(scores).items()},
        "people_that_span_folders": _spanning(counts, "person", "folder"),
        "folders_that_span_people": _spanning(counts, "folder", "person"),
    }


def _spanning(counts: pd.DataFrame, one: str, many: str) -> dict[str, Any]:
    """Give the number of values of `one` that have several of `many`, and the first of them."""
    several = counts[counts.groupby(one)[many].transform("size") > 1]
    groups = {
        name: dict(zip(map(str, rows[many]), rows["count"].tolist(), strict=True))
        for name, rows in several.groupby(one, sort=True)
    }
    listed = islice(groups.items(), _MOST)
    return {
        "count": len(groups),
        "first": [{one: name, f"faces_by_{many}": faces} for name, faces in listed],
    }
