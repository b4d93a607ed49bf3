"""Numbers in words."""

from meanface.wording import number_of, of_all


def test_nouns() -> None:
    assert number_of(1, "photo") == "1 photo"
    assert number_of(0, "photo") == "0 photos"
    assert number_of(2000, "person", "people") == "2,000 people"


def test_some_of_all() -> None:
    assert of_all(1000, 1000, "face") == "1,000 faces"
    assert of_all(1, 1, "face") == "1 face"
    assert of_all(1, 1000, "person", "people") == "1 of 1,000 people"
