"""Neighbours are those of a full matrix of distances; an index finds nearly all of them."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from benchmarks.persons import lfw_like_sizes, synthetic_faces
from meanface.results.neighbours import nearest

FACES, PERSON = synthetic_faces(lfw_like_sizes(3000, np.random.default_rng(0)))


@pytest.mark.parametrize("threads", [1, 2])
def test_neighbours_are_exact_without_an_index(threads: int) -> None:
    matrix = cdist(FACES.astype(np.float64), FACES.astype(np.float64))
    np.fill_diagonal(matrix, np.inf)
    wanted = np.argsort(matrix, axis=1, kind="stable")[:, :10]
    found = nearest(FACES, most=10, threads=threads)
    assert np.array_equal(found.rows, wanted)
    assert found.distances == pytest.approx(np.take_along_axis(matrix, wanted, 1), rel=1e-6)


def test_queries_find_themselves_and_few_rows_leave_gaps() -> None:
    found = nearest(FACES[:3], FACES[[2]], most=5)
    assert found.rows[0, 0] == 2
    assert found.distances[0, 0] == 0
    assert found.rows[0, 3:].tolist() == [-1, -1]
    assert np.isinf(found.distances[0, 3:]).all()


def test_equal_embeddings_are_sorted_by_row() -> None:
    found = nearest(np.zeros((5, 128), dtype=np.float32), most=4)
    assert found.rows.tolist() == [[j for j in range(5) if j != i] for i in range(5)]


def test_an_index_finds_nearly_all_and_the_same_with_any_number_of_threads() -> None:
    faces, _ = synthetic_faces(lfw_like_sizes(40_000, np.random.default_rng(0)))
    exact = nearest(faces, faces[:500], most=10)
    one, two = (
        nearest(faces, faces[:500], most=10, exact=1000, threads=threads) for threads in (1, 2)
    )
    shared = [
        len(set(a.tolist()) & set(b.tolist())) for a, b in zip(one.rows, exact.rows, strict=True)
    ]
    assert np.mean(shared) > 9.5
    assert np.array_equal(one.rows, two.rows)
    assert np.array_equal(one.distances, two.distances)


@pytest.mark.parametrize("exact", [10**6, 100])
def test_only_rows_among_some_are_neighbours(exact: int) -> None:
    faces = np.random.default_rng(2).standard_normal((5000, 128), dtype=np.float32)
    some = np.sort(np.random.default_rng(3).permutation(5000)[:2000])
    found = nearest(faces, faces[:50], most=7, among=some, exact=exact)
    copied = nearest(faces[some], faces[:50], most=7, exact=exact)
    np.testing.assert_array_equal(found.rows, some[copied.rows])
    np.testing.assert_array_equal(found.distances, copied.distances)
