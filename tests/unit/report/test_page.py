"""The report of made-up results: how large it gets, and what it says where something is missing."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meanface.engine.outcome import DIMENSIONS
from meanface.report.page import FAILED, LARGE, NO_PICTURES, SMALL, sections_of, write_page
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
        deduplicate=False,
        paths=True,
    )


def noise(size: int) -> str:
    """The image that takes the most bytes."""
    return as_image(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))


def pictures(sections: dict[str, Any]) -> dict[str, Any]:
    shown = {
        row for name in ("people", "suspects", "extremes", "odd") for row in sections[name]["shown"]
    }
    large, small, failed = noise(LARGE), noise(SMALL), noise(FAILED)
    return {
        "faces": dict.fromkeys(shown, large),
        "points": [small] * len(sections["map"]["rows"]),
        "failed": {photo["path"]: failed for photo in sections["failures"].get("photos", ())},
        "means": [],
    }


def written(results: Results, target: Path, *, with_pictures: bool = False) -> str:
    sections = sections_of(results)
    write_page(target, results, sections, pictures(sections) if with_pictures else NO_PICTURES)
    return target.read_text(encoding="utf-8")


def test_a_page_of_many_photos_stays_below_20_megabytes(tmp_path: Path) -> None:
    results = made_up(MANY, 5000, 3000)
    page = written(results, tmp_path / "page.html", with_pictures=True)
    assert 5e6 < (tmp_path / "page.html").stat().st_size < 20e6
    left_out = len(results.identities) - 200
    assert f"The {left_out:,} people with the fewest photos are not shown." in page
    assert "The map shows 2,000 of 20,000 faces" in page
    assert "Looked at: 5,000 of 20,000 faces" in page
    assert "2,976 more failed photos are not shown." in page


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = made_up(50, 5, 3)
    assert written(results, tmp_path / "a.html") == written(results, tmp_path / "b.html")


def test_a_page_without_people_failures_and_speed(tmp_path: Path) -> None:
    results = made_up(5, 0, 0)
    page = written(replace(results, jobs=results.jobs[:1]), tmp_path / "page.html")
    assert "No folder names a person" in page
    assert "None of the 5 photos failed" in page
    assert "No two people to compare" in page
    assert "10 pairs of any two faces" in page
    assert 'id="speed"' not in page
    assert 'id="verification"' not in page


def test_a_page_of_one_face(tmp_path: Path) -> None:
    page = written(made_up(1, 1, 0), tmp_path / "page.html")
    assert "A single face is its own mean" in page
    assert 'id="distances"' not in page
    assert not re.search(r"\bnan\b", page)


def test_a_page_without_paths_has_no_name(tmp_path: Path) -> None:
    page = written(replace(made_up(50, 5, 3), paths=False), tmp_path / "page.html")
    for secret in ("mine.tar", ".jpg", "\U0001f600", "/secret", "photos-0", "xxx"):
        assert secret not in page
    assert "person 1" in page
    assert "&#34;central&#34;" in page


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
