"""The section of the report on the persons that the target people found."""

from typing import Any

import numpy as np
import pandas as pd

from meanface.report.results import Results
from meanface.shards.manifest import identity_of
from meanface.wording import number_of

PERSONS = 200  # rows of the table
FOLDERS = 3  # folders named in a row


def persons_section(results: Results) -> dict[str, Any] | None:
    """List the persons with most faces; None where the target people did not run."""
    if results.persons is None:
        return None
    table, summary = results.persons.table, results.persons.summary
    persons, alone = summary["persons"], summary["persons_of_one_face"]
    faces, folders = number_of(summary["faces"], "face"), summary.get("folders")
    show = "shows" if summary["faces"] == 1 else "show"
    title = f"The {faces} {show} {number_of(persons, 'person')}, found without names"
    if folders:
        title += f"; folders name {folders:,}"
    shown = table[table["person"] <= PERSONS]
    of_folder = _folders(results, shown)
    medoids = shown[shown["medoid"] == 1].sort_values("person")
    # The mean of a face's squared distances to the others, averaged over the faces.
    cohesion = np.sqrt((shown["cohesion"] ** 2).groupby(shown["person"]).mean())
    return {
        "title": title,
        "shown": medoids.index.tolist(),
        "persons": [
            {
                "row": row,
                "number": person,
                "faces": size,
                "cohesion": float(cohesion[person]) if size > 1 else None,
                "folders": of_folder[person],
            }
            for row, person, size in medoids[["person", "size"]].itertuples(name=None)
        ],
        "left_out": persons - len(medoids),
        "alone": alone,
        "has_folders": bool(folders),
        "spanning": [
            summary[name]["count"] if folders else 0
            for name in ("people_that_span_folders", "folders_that_span_people")
        ],
    }


def _folders(results: Results, table: pd.DataFrame) -> dict[int, str]:
    """Give the folders of each person's faces as text, those with most faces first."""
    names = results.names()
    if results.drawn:  # not all of these faces were read
        prefixed = results.summary["made_of"]["prefixed"]
        folder = table["path"].map(lambda path: identity_of(path, prefixed=prefixed))
    else:
        folder = results.faces["identity"].loc[table.index]
    pairs = pd.DataFrame({"person": table["person"], "folder": folder})
    counts = pairs.value_counts().reset_index()
    counts = counts.sort_values(["count", "folder"], ascending=[False, True])
    texts = {}
    for person, rows in counts.groupby("person"):
        listed = [
            f"{names.person(folder) or 'no folder'} ({count:,})"
            for folder, count in zip(rows["folder"][:FOLDERS], rows["count"][:FOLDERS], strict=True)
        ]
        more = [f"and {len(rows) - FOLDERS:,} more"] if len(rows) > FOLDERS else []
        texts[int(str(person))] = ", ".join(listed + more)
    return texts
