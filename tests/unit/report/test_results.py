"""What the report calls photos, people and numbers."""

import pandas as pd
import pytest

from meanface.report.results import Names, percent

PEOPLE = pd.DataFrame({"identity": ["", "Ann", "Bob", "Cid"], "photos": [9, 2, 5, 2]})


def test_people_have_names_or_numbers() -> None:
    named = Names(PEOPLE, paths=True)
    assert named.people == ["Bob", "Ann", "Cid"]
    assert [named.person(one) for one in ("Bob", "Ann", "")] == ["Bob", "Ann", ""]
    assert named.photo("Bob/1.jpg", 7) == "Bob/1.jpg"
    numbered = Names(PEOPLE, paths=False)
    assert [numbered.person(one) for one in ("Bob", "Ann", "Cid", "")] == [
        "person 1",
        "person 2",
        "person 3",
        "",
    ]
    assert numbered.photo("Bob/1.jpg", 7) == "face 8"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 9, "0 %"), (9, 9, "100 %"), (7, 30, "23.3 %"), (1, 250_000, "0.0004 %"), (1, 30, "3.3 %")],
)
def test_shares(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text
