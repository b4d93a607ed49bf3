"""Which of several faces counts, on boxes made by hand."""

import pytest

from meanface.engine.face import Face, choose, distinct

# In a photo of 100 rows and 200 columns. The most certain comes first.
CORNER = Face(0, 0, 39, 39, 3.0)
WIDE = Face(110, 60, 189, 89, 2.0)  # 80 x 30, the largest
MIDDLE = Face(90, 40, 109, 59, 1.0)
FACES = [CORNER, WIDE, MIDDLE]


def test_right_and_bottom_belong_to_the_box() -> None:
    assert (WIDE.width, WIDE.height) == (80, 30)
    assert (Face(5, 7, 5, 7, 0).width, Face(5, 7, 5, 7, 0).height) == (1, 1)


@pytest.mark.parametrize(
    ("which", "chosen"),
    [("first", [CORNER]), ("largest", [WIDE]), ("central", [MIDDLE]), ("all", FACES)],
)
def test_each_way_to_choose(which: str, chosen: list[Face]) -> None:
    assert list(choose(FACES, which, 100, 200)) == chosen


@pytest.mark.parametrize("which", ["first", "largest", "central", "all"])
def test_the_only_face_is_chosen_wherever_it_is(which: str) -> None:
    far = Face(-20, -30, 5, 6, 0.1)
    assert list(choose([far], which, 100, 200)) == [far]


def test_central_looks_at_the_middle_of_the_photo_as_it_is_oriented() -> None:
    upper, lower = Face(40, 45, 59, 54, 1.0), Face(40, 95, 59, 104, 0.5)
    assert choose([upper, lower], "central", 100, 100) == [upper]
    assert choose([upper, lower], "central", 200, 100) == [lower]


def test_central_measures_to_the_middle_of_the_box_not_to_its_corner() -> None:
    near_corner = Face(50, 50, 99, 99, 2.0)  # begins in the middle, its own middle is 25 away
    near_middle = Face(38, 38, 57, 57, 1.0)
    assert choose([near_corner, near_middle], "central", 100, 100) == [near_middle]


def test_central_counts_rows_as_much_as_columns() -> None:
    beside, below = Face(70, 45, 79, 54, 2.0), Face(45, 65, 54, 74, 1.0)  # 25 and 20 away
    assert choose([beside, below], "central", 100, 100) == [below]


def test_largest_is_by_area_not_by_the_longer_side() -> None:
    long, square = Face(0, 0, 99, 9, 2.0), Face(0, 20, 39, 59, 1.0)  # 1000 and 1600 pixels
    assert choose([long, square], "largest", 100, 200) == [square]


@pytest.mark.parametrize("which", ["central", "largest"])
def test_the_more_certain_face_wins_a_tie(which: str) -> None:
    left, right = Face(10, 40, 29, 59, 1.0), Face(70, 40, 89, 59, 2.0)  # mirror images
    assert choose([right, left], which, 100, 100) == [right]
    assert choose([left, right], which, 100, 100) == [left]


def test_a_face_counts_once_and_the_first_box_stays() -> None:
    first = Face(100, 100, 199, 199, 0.1)
    shifted = Face(120, 110, 219, 209, 9.0)  # a union of 12,800 pixels, 7,200 in both
    within = Face(130, 130, 169, 169, 9.0)
    assert distinct([first, shifted, within]) == [first]
    assert distinct([shifted, first]) == [shifted]


def test_faces_side_by_side_all_count() -> None:
    left, right = Face(0, 0, 99, 99, 2.0), Face(60, 20, 159, 119, 1.0)  # 3,200 of 16,800 in both
    child = Face(70, 70, 129, 129, 1.5)  # a quarter of the child's box is in the left one
    assert distinct([left, child]) == [left, child]
    assert distinct([left, right]) == [left, right]
