"""Sections of the report on photos and people: the numbers, the mean face, failures, people."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.files.arrays import taken
from meanface.report.results import Results, percent
from meanface.report.selection import of_every_reason, sample_of
from meanface.report.text import shown
from meanface.wording import number_of, of_all

Section = dict[str, Any]

MEAN_OF_ALL, MEAN_OF_ONE, MEANS = 2000, 200, 8  # faces in an average; people with one
PEOPLE = 200  # rows of the table of people
FAILED = 24  # failed photos shown
KINDS = 4  # details shown per reason
_MEDOID_OF = 2000  # faces among which a person's most typical face is looked for

# Photos that failed for other reasons are not decoded again: some of them killed a process.
SHOWN = ("no_face", "small_face", "weak_face", "tilted_face")
REASONS = {
    "no_face": "No detector found a face.",
    "small_face": "Every face is smaller than the setting min_face.",
    "weak_face": "Every face has a lower score than the setting min_score.",
    "tilted_face": "The angle of the face could not be determined.",
    "not_an_image": "The file has the name of a photo and holds something else.",
    "truncated": "The file is cut off or damaged.",
    "unsupported": "The format is not read.",
    "too_large": "The photo has more bytes or pixels than the settings allow.",
    "unreadable": "The file could not be read.",
    "crashed": "The photo ended the process that read it.",
    "timeout": "The photo took longer than the setting max_seconds.",
    "out_of_memory": "The photo took more memory than the job has.",
    "error": "A library failed on the photo; the log of the shard says how.",
}
# Details for these reasons come from the content, and never hold a path.
_OF_CONTENT = {*SHOWN, "not_an_image", "truncated", "unsupported", "too_large"}


def headline(results: Results) -> Section:
    """Say what the run read, and what came of it."""
    summary, people = results.summary, len(results.names().people)
    sources = [shown(source["name"]) for source in summary["sources"].values()]
    where = f" of {', '.join(sources)}" if results.paths else ""
    failed = f"and {number_of(summary['failed'], 'photo')} failed"
    if not summary["failed"]:
        failed = "and none failed"
    who = f" Folders name {number_of(people, 'person', 'people')}." if people else ""
    some = len(results.sample())
    drawn = f" Distributions are those of {some:,} faces drawn at random." if results.drawn else ""
    return {
        "title": f"The mean of {number_of(results.statistics.count, 'face')}",
        "sentence": f"meanface found {number_of(summary['faces'], 'face')} in"
        f" {summary['encoded']:,} of the {number_of(summary['photos'], 'photo')}{where},"
        f" {failed}.{who}{drawn}",
        "dimensions": len(results.statistics.mean),
        "numbers": [
            ("photos", summary["photos"]),
            ("encoded", summary["encoded"]),
            ("failed", summary["failed"]),
            ("people", people),
            ("copies", summary["duplicates"]),
        ],
    }


def mean_groups(results: Results) -> list[tuple[str, NDArray[np.intp], int]]:
    """Give the groups of faces to average: a person (or "" for all), row numbers, faces in all.

    The row numbers are those of `results.in_the_mean()`.
    """
    faces = results.in_the_mean()
    everybody = sample_of(faces["path"].tolist(), MEAN_OF_ALL)
    groups = [("", everybody, results.statistics.count)]
    photos = results.identities.set_index("identity")["photos"]
    for person in results.names().people[:MEANS]:
        if photos[person] > 1:
            rows = np.flatnonzero(faces["identity"] == person)
            few = rows[sample_of(faces["path"].iloc[rows].tolist(), MEAN_OF_ONE)]
            groups.append((person, few, int(photos[person])))
    return groups


def mean_section(results: Results, images: list[str]) -> Section:
    """Show the average face of all people, and of the people with most photos.

    `images` are those of mean_groups, or none.
    """
    statistics, names = results.statistics, results.names()
    alone, by_person = statistics.error_of_mean, statistics.error_of_mean_by_person
    title = "A single face is its own mean"
    if statistics.count > 1:
        error = alone if np.isnan(by_person) else by_person
        title = (
            f"More faces like these {statistics.count:,} would move the mean by about {error:.2g}"
        )
    groups = mean_groups(results) if images else []
    return {
        "title": title,
        "length": float(np.linalg.norm(statistics.mean)),
        "error": None if np.isnan(alone) else f"{alone:.2g}",
        "error_by_person": None if np.isnan(by_person) else f"{by_person:.2g}",
        "faces": [
            {
                "image": image,
                "name": names.person(person) if person else "all faces",
                "note": of_all(len(rows), total, "face"),
            }
            for image, (person, rows, total) in zip(images, groups, strict=True)
        ],
    }


def failures_section(results: Results) -> Section:
    """Count the reasons, and choose failed photos to show."""
    summary, failures = results.summary, results.failures
    failed, photos = summary["failed"], summary["photos"]
    if not failed:
        return {"title": f"No failure in {number_of(photos, 'photo')}", "reasons": []}
    counts = summary["failed_by_reason"]
    most = max(counts, key=lambda reason: counts[reason])
    why = REASONS.get(most, most).rstrip(".")
    table = of_every_reason(failures, FAILED)
    return {
        "title": f"{number_of(failed, 'photo')} of {photos:,} ({percent(failed, photos)}) failed;"
        f" most often, {why[0].lower()}{why[1:]}",
        "reasons": [
            {
                "name": reason,
                "count": count,
                "share": 100 * count / failed,
                "meaning": REASONS.get(reason, ""),
                "kinds": _kinds(results, reason),
            }
            for reason, count in sorted(counts.items(), key=lambda item: -item[1])
        ],
        "photos": [
            {"path": path, "name": shown(path, 80) if results.paths else "", "note": reason}
            for path, reason in zip(table["path"], table["reason"], strict=True)
            if results.paths or reason in SHOWN
        ],
        "left_out": failed - len(table),
    }


def _kinds(results: Results, reason: str) -> list[tuple[str, int]]:
    """Give the most frequent details of a reason, with their numbers."""
    if reason in SHOWN or not (results.paths or reason in _OF_CONTENT):
        return []
    details = results.failures["detail"][results.failures["reason"] == reason]
    counts = details.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return [(shown(str(detail), 90), int(count)) for detail, count in counts.head(KINDS).items()]


def people_section(results: Results) -> Section:
    """List the people with most faces, each with the face that is nearest to their mean."""
    names = results.names()
    if not names.people:
        return {"title": "No folder names a person", "people": [], "shown": []}
    table = results.identities.set_index("identity")
    chosen = names.people[:PEOPLE]
    medoids = _medoids(results, chosen)
    singles = int((table["photos"][names.people] == 1).sum())
    return {
        "title": f"{number_of(len(names.people), 'person', 'people')};"
        f" {names.person(chosen[0])} has the most faces, {table['photos'][chosen[0]]:,}",
        "shown": list(medoids.values()),
        "people": [
            {
                "row": medoids[person],
                "name": names.person(person),
                "photos": photos,
                "spread": spread,
                "distance": distance,
            }
            for person, photos, spread, distance in table.loc[chosen].itertuples(name=None)
        ],
        "left_out": len(names.people) - len(chosen),
        "singles": singles,
    }


def _medoids(results: Results, people: list[str]) -> dict[str, int]:
    """Give the row of the face nearest to the mean of each person."""
    number = pd.Series(range(len(results.identities)), index=results.identities["identity"])
    faces = results.in_the_mean()
    groups = faces[faces["identity"].isin(people)].groupby("identity")["path"]
    medoids = {}
    for person, paths in groups:
        rows = paths.index.to_numpy()[sample_of(paths.tolist(), _MEDOID_OF)]
        away = taken(results.embeddings, rows) - results.identity_means[number[person]]
        medoids[str(person)] = int(rows[np.linalg.norm(away, axis=1).argmin()])
    return medoids
