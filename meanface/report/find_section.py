"""The section of the report on the faces that the target find searched for."""

from typing import Any

import pandas as pd

from meanface.report.results import Results
from meanface.report.text import shown

QUERIES, FOUND, PERSONS = 8, 7, 5  # query faces; the nearest faces and persons of each


def find_section(results: Results) -> dict[str, Any] | None:
    """Show query faces, each with the faces nearest to it; None where find did not run."""
    if results.found is None or results.found.query is None:
        return None
    table, summary, query = results.found.table, results.found.summary, results.found.query
    asked = query.head(QUERIES)
    queries = [
        _query(results, number, path, face, table)
        for number, (path, face) in enumerate(zip(asked["path"], asked["face"], strict=True))
    ]
    nearest = table[table["rank"] == 1].sort_values("distance", kind="stable").iloc[0]
    who = "the query face" if len(query) == 1 else f"one of the {len(query):,} query faces"
    return {
        "title": f"The nearest face lies {nearest['distance']:.2f} from {who};"
        f" at most {_one_in(nearest['fmr'])} pairs of two people is as near",
        "searched": summary["searched"],
        "rates_from": shown(summary["fmr_from"], 200),
        "shown": [row for one in queries for row in one["rows"]],
        "queries": queries,
        "left_out": len(query) - len(asked),
        "failed": len(summary["failed"]),
    }


def _query(
    results: Results, number: int, path: str, face: int, table: pd.DataFrame
) -> dict[str, Any]:
    found = table[(table["query"] == path) & (table["query_face"] == face)]
    near, persons = found.head(FOUND), found[found["person_rank"] > 0].head(PERSONS)
    rows = results.rows_of(zip(near["path"], near["face"], strict=True))
    known = results.rows_of(zip(persons["path"], persons["face"], strict=True))
    notes = [
        f"{distance:.3f}, FMR {_one_in(rate)}"
        for distance, rate in zip(near["distance"], near["fmr"], strict=True)
    ]
    return {
        "number": number,
        "name": f"{shown(path, 80)}, face {face}" if results.paths else f"query face {number + 1}",
        "rows": rows,
        "faces": results.show(results.names(), rows, notes),
        "persons": "; ".join(
            f"{_person(results, row)} ({distance:.2f})"
            for row, distance in zip(known, persons["distance"], strict=True)
        ),
    }


def _person(results: Results, row: int) -> str:
    """Name the person of a face: by people.csv of the present faces, and by the folder."""
    name = results.names().person(results.faces["identity"][row])
    if results.persons is None:
        return name or "no folder"
    number = f"number {results.persons.table['person'][row]:,}"
    return f"{name}, {number}" if name else number


def _one_in(rate: float) -> str:
    return f"1\u00a0in\u00a0{1 / rate:,.0f}"
