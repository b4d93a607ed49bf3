"""The report of made-up results: how large it gets, and what it says where something is missing."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meanface.engine.outcome import DIMENSIONS
from meanface.files.schemas import AUDIT, FIND, VERIFICATION
from meanface.report.beside import Beside
from meanface.report.page import (
    FAILED,
    LARGE,
    NO_PICTURES,
    SMALL,
    WITH_FACES,
    sections_of,
    write_page,
)
from meanface.report.results import Results
from meanface.report.thumbnails import as_image
from meanface.results.exact_moments import ExactMoments
from meanface.results.statistics import statistics_of

MANY = 20_000


def made_up(count: int, people: int, failed: int) -> Results:
    """Results with the longest names and the most people and failures that a page might show."""
    random = np.random.default_rng(5)
    embeddings = random.normal(0, 0.1, (count, DIMENSIONS)).astype(np.float32)
    moments = ExactMoments(DIMENSIONS)
    moments.add(embeddings)
    statistics = statistics_of(moments)
    names = [f"{number:05}" + "\U0001f600" * 250 for number in range(people)]
    of = random.integers(0, people, count) if people else np.zeros(count, dtype=int)
    identity = [names[i] if people else "" for i in of]
    faces = pd.DataFrame(
        {
            "path": [f"{one}/{number:09}.jpg" for number, one in enumerate(identity)],
            "identity": identity,
            "faces": 1,
            "left": 0,
            "top": 0,
            "right": random.integers(30, 200, count),
            "bottom": 99,
            "score": random.random(count),
            "detector": random.choice(["hog@0", "cnn@1"], count),
            "shard": "photos-0",
            "distance": np.linalg.norm(embeddings - statistics.mean, axis=1),
            "duplicate_of": "",
        }
    )
    counts = faces.groupby("identity").size()
    failures = pd.DataFrame(
        {
            "path": [f"{'x' * 300}/{number}.jpg" for number in range(failed)],
            "reason": random.choice(["no_face", "not_an_image"], failed) if failed else [],
            "detail": [f"{number} " + "why" * 300 for number in range(failed)],
            "shard": "photos-0",
        }
    )
    summary: dict[str, Any] = {
        "photos": count + failed,
        "encoded": count,
        "failed": failed,
        "faces": count,
        "duplicates": 0,
        "failed_by_reason": failures["reason"].value_counts().to_dict(),
        "faces_by_detector": faces["detector"].value_counts().to_dict(),
        "fingerprint": "ab" * 32,
        "sources": {
            "photos": {"name": "mine.tar", "kind": "archive", "bytes": 9, "sha256": "0" * 64}
        },
        "models": {"encoder": "0" * 64},
        "versions": {"meanface": "1.2.3"},
        "config": {"photos": "/secret/mine.tar", "face": "central"},
    }
    return Results(
        summary=summary,
        faces=faces,
        failures=failures,
        identities=pd.DataFrame(
            {"identity": counts.index, "photos": counts.to_numpy(), "spread": 0.3, "distance": 0.4}
        ),
        embeddings=embeddings,
        identity_means=np.zeros((len(counts), DIMENSIONS)),
        statistics=statistics,
        jobs=pd.DataFrame(
            {"shard": ["photos-0", "photos-1"], "photos": 100, "seconds": [4.0, 5.0]}
        ),
        accuracy=None,
        persons=None,
        error_rates=None,
        audit=None,
        found=None,
        deduplicate=False,
        paths=True,
    )


def with_persons(results: Results, persons: int) -> Results:
    """Results where the target people found so many persons, of equal size."""
    faces = results.faces
    count, person = len(faces), np.arange(len(faces)) % persons + 1
    table = pd.DataFrame(
        {
            "path": faces["path"],
            "face": 1,
            "person": person,
            "size": count // persons,
            "cohesion": [0.3, 0.4] * (count // 2),
            "medoid": (np.arange(count) < persons).astype(int),
        }
    )
    summary = {
        "faces": count,
        "persons": persons,
        "persons_of_one_face": 0,
        "folders": faces["identity"].nunique(),
        "people_that_span_folders": {"count": 7},
        "folders_that_span_people": {"count": 9},
    }
    return replace(results, persons=Beside(table, summary))


def with_audit(results: Results, findings: int) -> Results:
    """Results where the target audit found so much of each kind, each time of other faces."""
    paths, identities = results.faces["path"], results.faces["identity"]
    kinds = ("other_identity", "one_person", "near_duplicate", "two_in_photo", "unlike_all")
    rows = [
        (kind, rank, paths[i], 1, identities[i], paths[j], 1, identities[j], 0.3125, 1.5)
        for start, kind in enumerate(kinds)
        for rank in range(1, findings + 1)
        for i, j in [(2 * (start * findings + rank), 2 * (start * findings + rank) + 1)]
    ]
    summary = {"faces": len(paths), "findings": dict.fromkeys(kinds, findings)}
    return replace(results, audit=Beside(pd.DataFrame(rows, columns=list(AUDIT)), summary))


def with_found(results: Results, queries: int) -> Results:
    """Results where the target find searched for so many faces: rows 0, 20, ... are nearest."""
    paths, identities = results.faces["path"], results.faces["identity"]
    rows = [
        (f"<q{query}>.jpg", 1, rank, paths[row], 1, identities[row], 0, rank / 40, rank / 1e4, rank)
        for query in range(queries)
        for rank in range(1, 21)
        for row in [20 * query + rank - 1]
    ]
    asked = pd.DataFrame({"path": [f"<q{query}>.jpg" for query in range(queries)], "face": 1})
    summary = {"searched": len(paths), "fmr_from": "rates of <many>", "failed": [{}, {}]}
    found = Beside(pd.DataFrame(rows, columns=list(FIND)), summary, asked)
    return replace(results, found=found)


def noise(size: int) -> str:
    """The image that takes the most bytes."""
    return as_image(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))


def pictures(sections: dict[str, Any]) -> dict[str, Any]:
    shown = {row for name in WITH_FACES for row in (sections[name] or {"shown": ()})["shown"]}
    large, small, failed = noise(LARGE), noise(SMALL), noise(FAILED)
    return {
        "faces": dict.fromkeys(shown, large),
        "queries": dict.fromkeys(range(100), large),
        "points": [small] * len(sections["map"]["rows"]),
        "failed": {photo["path"]: failed for photo in sections["failures"].get("photos", ())},
        "means": [],
    }


def written(results: Results, target: Path, *, with_pictures: bool = False) -> str:
    sections = sections_of(results)
    write_page(target, results, sections, pictures(sections) if with_pictures else NO_PICTURES)
    return target.read_text(encoding="utf-8")


def test_a_page_of_many_photos_stays_below_20_megabytes(tmp_path: Path) -> None:
    results = with_persons(made_up(MANY, 5000, 3000), 5000)
    results = with_found(with_audit(results, 100), 50)
    page = written(results, tmp_path / "page.html", with_pictures=True)
    assert 5e6 < (tmp_path / "page.html").stat().st_size < 20e6
    left_out = len(results.identities) - 200
    assert "The 4,800 persons with the fewest faces are not shown." in page
    assert f"The {left_out:,} people with the fewest faces are not shown." in page
    assert "The map shows 2,000 of 20,000 faces" in page
    assert "Looked at: 5,000 of 20,000 faces" in page
    assert "2,976 more failed photos are not shown." in page
    assert "92 weaker findings are not shown." in page
    assert "42 more query faces are not shown." in page


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = made_up(50, 5, 3)
    assert written(results, tmp_path / "a.html") == written(results, tmp_path / "b.html")


def test_a_page_without_people_failures_and_speed(tmp_path: Path) -> None:
    results = made_up(5, 0, 0)
    page = written(replace(results, jobs=results.jobs[:1]), tmp_path / "page.html")
    assert "No folder names a person" in page
    assert "No failure in 5 photos" in page
    assert "No two people to compare" in page
    assert "10 pairs of any two faces" in page
    assert 'id="speed"' not in page
    assert 'id="verification"' not in page


def test_a_page_of_one_face(tmp_path: Path) -> None:
    page = written(made_up(1, 1, 0), tmp_path / "page.html")
    assert "A single face is its own mean" in page
    assert 'id="distances"' not in page
    assert "Every face has the same place" in page
    assert "Every face lies at the mean" in page
    assert not re.search(r"\bnan\b", page)


def test_a_photo_in_no_folder_is_no_person_of_one_face(tmp_path: Path) -> None:
    results = made_up(9, 0, 0)
    identity = results.faces["identity"].where(results.faces.index == 0, "Ann")
    identities = results.identities.iloc[[0, 0]].assign(identity=["", "Ann"], photos=[1, 8])
    faces = results.faces.assign(identity=identity)
    mixed = replace(
        results,
        faces=faces,
        identities=identities.reset_index(drop=True),
        identity_means=np.zeros((2, DIMENSIONS)),
    )
    page = written(mixed, tmp_path / "page.html")
    assert "1 person; Ann has the most faces, 8" in page
    assert "whose spread is 0" not in page


def test_a_page_without_paths_has_no_name(tmp_path: Path) -> None:
    page = written(replace(made_up(50, 5, 3), paths=False), tmp_path / "page.html")
    for secret in ("mine.tar", ".jpg", "\U0001f600", "/secret", "photos-0", "xxx"):
        assert secret not in page
    assert "person 1" in page
    assert "&#34;central&#34;" in page


def test_the_table_that_names_the_copies_is_one_that_every_run_writes(tmp_path: Path) -> None:
    results = made_up(20, 4, 0)
    copies = results.faces["path"].shift(1).where(results.faces.index == 1, "")
    results = replace(results, faces=results.faces.assign(duplicate_of=copies))
    page = written(results, tmp_path / "report.html")
    assert "<code>results/faces.parquet</code> names all copies" in page
    assert "faces.csv" not in page  # with `faces_csv: false`, there is none


def test_scored_pairs_are_shown(tmp_path: Path) -> None:
    roc = pd.DataFrame(
        {
            "threshold": [0.0, 0.5, 0.6, 2.0],
            "false_positive_rate": [0.0, 0.0, 0.01, 1.0],
            "true_positive_rate": [0.0, 0.8, 0.97, 1.0],
        }
    )
    scores = {
        **{"accuracy": 0.981, "standard_error": 0.004, "auc": 0.9912, "pairs": 600},
        **{"unscored": 3, "folds": [{}, {}]},
    }
    page = written(replace(made_up(50, 5, 3), accuracy=(scores, roc)), tmp_path / "page.html")
    assert "98.1 % of the pairs are called correctly" in page
    assert "600 pairs in 2 folds, standard error 0.40 %, area under the curve 0.9912" in page
    assert "3 pairs with a failed photo" in page


def test_persons_that_were_found_are_listed_with_their_folders(tmp_path: Path) -> None:
    results = made_up(12, 0, 0)
    named = replace(results, faces=results.faces.assign(identity=["Ada"] * 5 + ["Bea"] + [""] * 6))
    results = with_persons(named, 2)
    page = written(results, tmp_path / "page.html")
    assert "The 12 faces show 2 persons, found without names; folders name 3" in page
    # The faces of person 1 have the even rows.
    assert "no folder (3), Ada (3)" in page
    assert "no folder (3), Ada (2), Bea (1)" in page
    assert "several folders: 7. Folders that hold several persons: 9." in page
    person = sections_of(results)["persons"]["persons"][0]
    assert person["cohesion"] == pytest.approx(0.3)
    assert 'id="persons"' not in written(made_up(12, 2, 0), tmp_path / "page.html")


def test_persons_have_no_name_without_paths(tmp_path: Path) -> None:
    results = replace(with_persons(made_up(50, 5, 3), 5), paths=False)
    page = written(results, tmp_path / "page.html")
    assert "\U0001f600" not in page
    assert "The 50 faces show 5 persons" in page


def error_rates(groups: int) -> Beside:
    """The results of verify, with fewer missed pairs than false matches at each threshold."""
    rows = [
        (group, 0.3 + i / 100, i, *(10.0 ** (i - k) for k in (6, 7, 5)), 9, 0.5 / (i + 1), 0.0, 0.9)
        for group in ["", *(f"group<{number}>" for number in range(groups))]
        for i in range(6)
    ]
    counts = {
        "photos": 1000,
        "failed": 20,
        "failure_to_enrol_rate": {"rate": 0.02, "low": 0.011, "high": 0.031},
        "persons": 90,
        "mated_pairs": 1234,
        "nonmated_pairs": 98765,
        "equal_error_rate": 0.0123,
    }
    few = dict.fromkeys(("threshold", "false_matches", "fmr", "fnmr", "fnmr_low", "fnmr_high"))
    at = {
        **{"target": 1e-3, "threshold": 0.5432, "false_matches": 98, "fmr": 9.9e-4},
        **{"fnmr": 0.0345, "fnmr_low": 0.021, "fnmr_high": 0.051},
    }
    counts["at_fmr"] = [at, {"target": 1e-6, **few}]
    everyone = [{"target": 1e-3, "threshold": 0.5432, "fmr": 0.0007, "fnmr": 0.0888}]
    summary = {
        **counts,
        "interval": 0.95,
        "groups": {
            f"group<{number}>": {**counts, "at_threshold_of_everyone": everyone}
            for number in range(groups)
        },
    }
    return Beside(pd.DataFrame(rows, columns=list(VERIFICATION)), summary)


def test_error_rates_are_shown_with_intervals_and_groups(tmp_path: Path) -> None:
    page = written(replace(made_up(50, 5, 3), error_rates=error_rates(60)), tmp_path / "page.html")
    assert "At 1 false match in 1,000, 3.5 % of the pairs of one person are missed" in page
    assert "1,234 pairs of one person, and 98,765 of two" in page
    assert "2.1 % to 5.1 %" in page
    assert "too few pairs to see this rate" in page
    assert "20 of 1,000 photos with a name have no embedding (2 %, interval 1.1 % to 3.1 %)" in page
    assert '<td class="number">8.9 %</td><td class="number">0.07 %</td>' in page
    assert "The first 4 groups are drawn." in page
    assert "10 more groups are not shown." in page
    assert "group&lt;0&gt;" in page
    assert "nan" not in re.findall(r'points="([^"]*)"', page)


def test_the_curve_of_error_rates_keeps_its_lowest_rates() -> None:
    section = sections_of(replace(made_up(9, 3, 0), error_rates=error_rates(1)))["error_rates"]
    everyone, group, band = section["chart"].layers
    # From 0.0001 % to 10 % of an axis that ends at 100 %.
    across = [float(point.split(",")[0]) for point in everyone.points.split()]
    assert across == pytest.approx([0, 16.67, 33.33, 50, 66.67, 83.33], abs=0.01)
    assert (group.is_band, band.is_band) == (False, True)
    assert len(band.points.split()) == 12


def test_groups_have_no_name_without_paths(tmp_path: Path) -> None:
    results = replace(made_up(50, 5, 3), error_rates=error_rates(3), paths=False)
    page = written(results, tmp_path / "page.html")
    assert "group 3" in page
    assert "group&lt;" not in page


def test_where_no_threshold_makes_both_errors_there_is_no_curve(tmp_path: Path) -> None:
    made = error_rates(0)
    found = Beside(
        made.table.assign(fmr=0.0), {**made.summary, "at_fmr": made.summary["at_fmr"][1:]}
    )
    page = written(replace(made_up(50, 5, 3), error_rates=found), tmp_path / "page.html")
    assert "Too few pairs to see a false match rate of 1 in 1,000" in page
    assert "No threshold makes both kinds of errors" in page


def test_what_the_audit_found_is_shown_by_kind(tmp_path: Path) -> None:
    results = with_audit(made_up(100, 5, 0), 9)
    page = written(results, tmp_path / "page.html", with_pictures=True)
    section = page.split('<section id="audit">')[1].split("</section>")[0]
    title = "9 faces are nearer to another name than to their own; 9 pairs of names may be one"
    assert f"<h2>{title} person</h2>" in section
    assert "9 pairs of photos show the same shot" in section
    assert "9 faces are unlike all others" in section
    assert section.count("1 weaker finding is not shown") == 5
    assert section.count("<img ") == 2 * 5 * 8
    # The strongest finding compares rows 2 and 3.
    first = section.split("</li>")
    assert "1.50 times as far from its own name as from the other" in first[0]
    for row, item in zip((2, 3), first, strict=False):
        assert results.faces["path"][row][:5] in item
    assert 'href="#audit"' in page
    assert 'id="audit"' not in written(made_up(100, 5, 0), tmp_path / "page.html")


def test_an_audit_that_found_nothing_says_so(tmp_path: Path) -> None:
    audit = Beside(pd.DataFrame(columns=list(AUDIT)), {"faces": 9, "findings": {"unlike_all": 0}})
    page = written(replace(made_up(9, 3, 0), audit=audit), tmp_path / "page.html")
    assert "The audit of 9 faces found nothing to look at" in page
    assert "Near-duplicates were not looked for" in page


def test_a_finding_alone_has_a_title_of_its_own(tmp_path: Path) -> None:
    page = written(with_audit(made_up(20, 5, 0), 1), tmp_path / "page.html")
    assert "1 face is nearer to another name than to its own; 1 pair of names may be" in page


def test_query_faces_are_shown_with_the_nearest_faces(tmp_path: Path) -> None:
    results = with_found(made_up(200, 5, 0), 9)
    page = written(results, tmp_path / "page.html", with_pictures=True)
    section = page.split('<section id="nearest">')[1].split("</section>")[0]
    assert (
        "<h2>The nearest face lies 0.03 from one of the 9 query faces;"
        " at most 1\u00a0in\u00a010,000 pairs of two people is as near</h2>" in section
    )
    assert "&lt;q7&gt;.jpg, face 1" in section
    assert "&lt;q8&gt;.jpg" not in section
    assert "The rates come from rates of &lt;many&gt;." in section
    assert "0.025, FMR 1\u00a0in\u00a010,000" in section
    assert "Query photos without a face that can be encoded: 2." in section
    assert section.count('alt="The query face"') == 8
    assert section.count("<img ") == 8 * (1 + 7)
    assert "Nearest persons: " in section
    assert 'id="nearest"' not in written(made_up(9, 3, 0), tmp_path / "page.html")


def test_the_person_of_a_face_found_is_that_of_who_is_who() -> None:
    results = with_found(with_persons(made_up(40, 5, 0), 4), 1)
    (query,) = sections_of(results)["found"]["queries"]
    names = results.names()
    wanted = [
        f"{names.person(results.faces['identity'][row])}, number {row % 4 + 1}" for row in range(5)
    ]
    assert [one.rpartition(" (")[0] for one in query["persons"].split("; ")] == wanted


def test_findings_and_queries_have_no_name_without_paths(tmp_path: Path) -> None:
    results = with_found(with_audit(made_up(100, 5, 3), 9), 3)
    page = written(replace(results, paths=False), tmp_path / "page.html")
    for secret in (".jpg", "\U0001f600", "q0"):
        assert secret not in page
    assert "query face 3" in page


def test_the_second_face_of_a_photo_is_found_by_its_number() -> None:
    faces = made_up(4, 1, 0).faces.assign(path=["a", "b", "b", "c"])
    results = replace(made_up(4, 1, 0), faces=faces)
    assert results.rows_of([("b", 2), ("c", 1), ("b", 1), ("b", 2)]) == [2, 3, 1, 2]
