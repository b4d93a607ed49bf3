"""Average linkage gives the groups that scipy gives on the full matrix of distances."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from meanface.results.linkage import average_linkage


def squares(points: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    difference = points[:, None].astype(np.float64) - points[None]
    result: NDArray[np.float64] = (difference**2).sum(axis=2) * weights[:, None] * weights
    return result


def first_of_each(labels: NDArray[np.int64]) -> list[int]:
    """The first member of each member's group."""
    return [int(np.flatnonzero(labels == label)[0]) for label in labels]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cut", [0.5, 1.5, 4.0])
def test_groups_are_those_of_scipy(seed: int, cut: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(150, 4)).astype(np.float32)
    weights = rng.uniform(0.5, 2, size=150)
    matrix = squares(points, weights)
    tree = linkage(squareform(matrix, checks=False), "average")
    wanted = first_of_each(fcluster(tree, cut, "distance"))
    pairs = np.argwhere(np.triu(matrix < cut, 1))
    assert 1 < len(set(wanted)) < 150
    assert average_linkage(points, weights, [pairs], cut).tolist() == wanted
    # Order and direction of the pairs are no matter.
    mixed = rng.permutation(pairs)[:, ::-1]
    assert average_linkage(points, weights, [mixed], cut).tolist() == wanted


def test_equal_distances_end() -> None:
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], dtype=np.float32)
    every = np.argwhere(np.triu(np.ones((4, 4)), 1))
    assert average_linkage(corners, np.ones(4), [every], 1.2).tolist() == [0, 0, 2, 2]
    assert average_linkage(corners, np.ones(4), [every], 9).tolist() == [0, 0, 0, 0]


def test_a_point_between_two_joins_the_first() -> None:
    line = np.array([[0], [2], [1]], dtype=np.float32)
    every = np.argwhere(np.triu(np.ones((3, 3)), 1))
    assert average_linkage(line, np.ones(3), [every], 2).tolist() == [0, 1, 0]


def test_only_pairs_are_joined() -> None:
    points = np.zeros((3, 2), dtype=np.float32)
    nothing = np.empty((0, 2), dtype=np.int64)
    assert average_linkage(points, np.ones(3), [nothing], 1).tolist() == [0, 1, 2]
    assert average_linkage(points, np.ones(3), [np.array([[2, 1]])], 1).tolist() == [0, 1, 1]
