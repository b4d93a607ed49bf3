"""Which rows a picture shows, against cases counted by hand."""

import pandas as pd

from meanface.report.selection import (
    counted,
    extremes,
    most_frequent,
    of_every_reason,
    sample_of,
    shuffled,
)


def test_a_sample_is_the_same_whatever_the_order() -> None:
    paths = [f"{number}.jpg" for number in range(1000)]
    few = sample_of(paths, 100)
    assert len(few) == len(set(few)) == 100
    assert list(few) == sorted(few)
    backwards = paths[::-1]
    assert {backwards[i] for i in sample_of(backwards, 100)} == {paths[i] for i in few}
    assert list(sample_of(paths, 5000)) == list(range(1000))
    # Spread evenly: of a third of the paths about a third.
    assert 20 < sum(i < 333 for i in few) < 46
    assert sorted(shuffled(paths)) == list(range(1000))
    assert list(sample_of([], 5)) == []


def test_the_people_with_the_most_photos() -> None:
    people = pd.Series(["b", "a", "b", "a", "", "", "", "c", "d", "d", "d"])
    assert most_frequent(people, 2).to_dict() == {"d": 3, "a": 2}
    assert list(most_frequent(people, 9).index) == ["d", "a", "b"]
    assert most_frequent(pd.Series(["", "x"]), 9).empty


def test_failures_are_shown_of_every_reason() -> None:
    reasons = ["no_face"] * 5000 + ["truncated"] * 320 + ["crashed"]
    table = pd.DataFrame({"path": [f"{i}.jpg" for i in range(5321)], "reason": reasons})
    few = of_every_reason(table, 101)
    assert few["reason"].value_counts().to_dict() == {"no_face": 50, "truncated": 50, "crashed": 1}
    assert few["reason"].is_monotonic_increasing
    assert not few["path"].duplicated().any()
    assert len(of_every_reason(table, 6000)) == 5321


def test_duplicates_count_unless_the_mean_leaves_them_out() -> None:
    faces = pd.DataFrame({"path": ["a", "b", "c"], "duplicate_of": ["", "a", ""]})
    assert counted(faces, deduplicate=False)["path"].tolist() == ["a", "b", "c"]
    assert counted(faces, deduplicate=True).index.tolist() == [0, 2]


def test_the_extremes_are_half_of_the_photos_at_most_and_no_duplicates() -> None:
    distances = [0.5, 0.1, 0.9, 0.1, 0.3, 0.7]
    duplicates = ["", "", "", "b", "", ""]
    faces = pd.DataFrame(
        {"path": list("abcdef"), "distance": distances, "duplicate_of": duplicates}
    )
    nearest, farthest = extremes(faces, 2)
    assert nearest.index.tolist() == [1, 4]
    assert farthest.index.tolist() == [2, 5]
    nearest, farthest = extremes(faces, 100)
    assert nearest.index.tolist() == [1, 4, 0]
    assert farthest.index.tolist() == [2, 5, 0]


def test_a_photo_with_several_faces_is_one_extreme() -> None:
    faces = pd.DataFrame(
        {
            "path": ["party", "party", "party", "alone", "copy", "copy", "other"],
            "distance": [0.1, 0.2, 0.9, 0.3, 0.1, 0.9, 0.8],
            "duplicate_of": ["", "", "", "", "party", "party", ""],
        }
    )
    nearest, farthest = extremes(faces, 12)
    assert nearest.index.tolist() == [0, 3]
    assert farthest.index.tolist() == [2, 6]
