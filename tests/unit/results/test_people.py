"""Faces are grouped by person, in sets of few and many faces."""

import numpy as np
import pytest

from benchmarks.persons import lfw_like_sizes, synthetic_faces
from meanface.results.neighbours import nearest
from meanface.results.people import NEIGHBOURS, people_of, stranger_distances
from meanface.results.person_tables import bcubed

# Numbers of faces per person, and the least B-cubed F.
SETS = {
    "a long tail": (lfw_like_sizes(5000, np.random.default_rng(0)), 0.92),
    "strangers alone": (np.full(3000, 1), 0.99),
    "an album": (np.full(10, 300), 0.98),
    "a large family": (np.full(50, 100), 0.97),
    "an album with strangers": (np.repeat([400, 1], [5, 200]), 0.97),
    "one person": (np.array([200]), 0.99),
}


@pytest.mark.parametrize("name", SETS)
def test_persons_are_found(name: str) -> None:
    sizes, least = SETS[name]
    faces, person = synthetic_faces(sizes)
    found = people_of(faces, nearest(faces, most=NEIGHBOURS), 0.86)
    scores = bcubed(found.person, person)
    assert scores.precision > 0.98
    assert scores.f > least


def test_strangers_are_looked_for_beyond_the_neighbours() -> None:
    """Persons with many photos: all neighbours of most faces show the person himself."""
    faces, person = synthetic_faces(np.full(25, 150))
    found = stranger_distances(faces, nearest(faces, most=NEIGHBOURS), person, 0.7)
    vectors = faces.astype(np.float64)
    for row in range(0, len(faces), 300):
        lengths = np.linalg.norm(vectors - vectors[row], axis=1)
        of_person = [lengths[person == one].min() for one in range(25) if one != person[row]]
        # Few faces of each person are looked at, so the nearest one may be missed.
        wanted = np.minimum(np.sort(of_person)[:20], 0.7).mean()
        assert wanted <= found[row] + 1e-6 < wanted + 0.06
        assert found[row] > lengths[nearest(faces, faces[[row]], most=97).rows[0, -1]]


def test_where_there_are_few_others_they_are_as_far_as_can_be() -> None:
    faces, person = synthetic_faces(np.array([150, 150]))
    found = stranger_distances(faces, nearest(faces, most=NEIGHBOURS), person, 0.7)
    assert ((found > 0.68) & (found <= 0.7)).all()


def test_persons_are_numbered_by_size_and_cohesion_is_a_distance() -> None:
    faces, _ = synthetic_faces(np.array([4, 9, 1]))
    found = people_of(faces, nearest(faces, most=NEIGHBOURS), 0.86)
    sizes = np.bincount(found.person)
    assert sizes.tolist() == sorted(sizes, reverse=True)
    for row, person in enumerate(found.person):
        others = np.flatnonzero((found.person == person) & (np.arange(len(faces)) != row))
        lengths = np.linalg.norm(faces[others].astype(np.float64) - faces[row], axis=1)
        wanted = np.sqrt(np.mean(lengths**2)) if len(others) else 0
        assert found.cohesion[row] == pytest.approx(wanted)


@pytest.mark.parametrize("count", [1, 2])
def test_few_faces_are_persons_too(count: int) -> None:
    faces = np.arange(count, dtype=np.float32)[:, None] * np.ones(128, dtype=np.float32)
    found = people_of(faces, nearest(faces, most=NEIGHBOURS), 0.86)
    assert found.person.tolist() == list(range(count))
    assert found.cohesion.tolist() == [0] * count


def test_scores_of_a_case_made_by_hand() -> None:
    # Faces a a b | b c: precision (2/3 + 2/3 + 1/3 + 1/2 + 1/2) / 5, recall (1 + 1 + .5 + .5 + 1)/5
    scores = bcubed(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2]))
    assert scores.precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 / 2 + 1 / 2) / 5)
    assert scores.recall == pytest.approx(0.8)
