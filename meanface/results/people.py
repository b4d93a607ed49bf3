"""Groups the embeddings of each person, without names."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meanface.results.linkage import average_linkage
from meanface.results.neighbours import Neighbours, nearest

NEIGHBOURS = 96
"""How many neighbours of each face `people_of` needs."""

# Two groups are never one person at a larger mean distance: the threshold of dlib's author.
_FARTHEST = 0.6
# Where the rough groups are cut that say who is a stranger to whom.
_ROUGH = 0.52
_STRANGERS = 20  # other persons around a face that say how far strangers are there
_OF_GROUP = 4  # faces of a group that a face is compared with if few strangers are neighbours
_VOTERS = 10  # nearest neighbours that vote for the rough group of a face
_CHUNK = 1 << 14  # faces at a time


@dataclass(frozen=True)
class People:
    """Persons, numbered from 0 by their number of faces, then by their first face.

    * `person`, int64 (n,): the person of each face.
    * `cohesion`, float64 (n,): the root mean square distance of a face to the other faces of its
      person; 0 for a person with one face.
    * `strangers`, float64 (n,): how far from each face other persons are, see `people_of`.
    """

    person: NDArray[np.int64]
    cohesion: NDArray[np.float64]
    strangers: NDArray[np.float64]


def people_of(
    embeddings: NDArray[np.float32],
    neighbours: Neighbours,
    same_person: float,
    *,
    threads: int = 1,
) -> People:
    """Group embeddings (n, d) into persons, given the NEIGHBOURS nearest of each.

    The distance of two faces is divided by how far strangers are from them (local scaling:
    Zelnik-Manor and Perona 2004, "Self-tuning spectral clustering"). Average linkage on the
    squares joins groups below `same_person`. How far strangers are is the mean distance to the 20
    nearest other persons, as rough groups tell them apart. So the threshold follows the number of
    faces in a set, and is stricter where faces look alike.
    """
    rough = _groups(embeddings, neighbours, np.ones(len(embeddings)), _ROUGH)
    group, farthest = _voted(neighbours, rough), _FARTHEST / same_person
    strangers = stranger_distances(embeddings, neighbours, group, farthest, threads=threads)
    person = numbered(_groups(embeddings, neighbours, strangers, same_person))
    return People(person, _cohesion(embeddings, person), strangers)


def _groups(
    embeddings: NDArray[np.float32],
    neighbours: Neighbours,
    scale: NDArray[np.float64],
    cut: float,
) -> NDArray[np.int64]:
    """Give the groups of average linkage on the squares of distance / scale, below cut^2."""

    def near() -> Iterator[NDArray[np.int64]]:
        for start in range(0, len(embeddings), _CHUNK):
            part = slice(start, start + _CHUNK)
            rows, distances = neighbours.rows[part], neighbours.distances[part].astype(np.float64)
            is_near = distances**2 < cut**2 * scale[part, None] * scale[rows]
            face, place = np.nonzero(is_near & (rows >= 0))
            yield np.column_stack([face + start, rows[face, place]])

    return average_linkage(embeddings, 1 / scale, near(), cut**2)


def _voted(neighbours: Neighbours, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each face the group that most of its 10 nearest neighbours have, if there is one.

    So the stragglers of a person with many photos are no strangers to that person.
    """
    rows = neighbours.rows[:, :_VOTERS]
    votes = np.sort(np.where(rows >= 0, group[rows], -1), axis=1)
    middle = votes[:, votes.shape[1] // 2]  # a majority includes the middle
    won = (middle >= 0) & ((votes == middle[:, None]).sum(axis=1) > _VOTERS / 2)
    return np.where(won, middle, group)


def stranger_distances(
    embeddings: NDArray[np.float32],
    neighbours: Neighbours,
    group: NDArray[np.int64],
    farthest: float,
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Give the mean distance of each face to the nearest face of the 20 nearest other groups.

    No distance counts for more than `farthest`, and groups that there are not are as far as that.
    Where a face has fewer than 20 other groups among its neighbours, because its own group or
    another one takes the places, it is compared with few faces of each group.
    """
    result, found = _strangers(neighbours, group, group, farthest)
    few = np.flatnonzero((found < _STRANGERS) & np.isfinite(neighbours.distances[:, -1]))
    if len(few):
        some = _some_of_each(group)
        most = (_STRANGERS + 1) * _OF_GROUP  # enough for 20 groups beside the own one
        near = nearest(embeddings, embeddings[few], most=most, among=some, threads=threads)
        result[few], _ = _strangers(near, group, group[few], farthest)
    return result


def _some_of_each(group: NDArray[np.int64]) -> NDArray[np.intp]:
    """Give rows of at most _OF_GROUP faces of each group, evenly spread over its rows."""
    order = np.argsort(group, kind="stable")
    _, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    turn = np.arange(len(order)) - np.repeat(starts, sizes)
    share = turn * _OF_GROUP // np.repeat(sizes, sizes)
    is_first = (turn == 0) | (share != np.roll(share, 1))
    return np.sort(order[is_first])


def _strangers(
    neighbours: Neighbours, group: NDArray[np.int64], own: NDArray[np.int64], farthest: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give the mean distance of faces to other groups, and how many of them are neighbours.

    `own` is the group of each face; `group` has the groups of all rows.
    """
    result, number = np.empty(len(own)), np.empty(len(own), np.int64)
    for start in range(0, len(own), _CHUNK):
        part = slice(start, start + _CHUNK)
        rows, distances = neighbours.rows[part], neighbours.distances[part].astype(np.float64)
        others = np.where(rows >= 0, group[rows], -1)
        # The first neighbour of each other group: a stable sort keeps the order of distances.
        order = np.argsort(others, axis=1, kind="stable")
        others = np.take_along_axis(others, order, axis=1)
        counts = (others >= 0) & (others != own[part, None])
        counts[:, 1:] &= others[:, 1:] != others[:, :-1]
        found = np.where(counts, np.take_along_axis(distances, order, axis=1), np.inf)
        found = np.sort(found, axis=1)[:, :_STRANGERS]
        found = np.minimum(np.minimum(found, distances[:, -1:]), farthest)
        result[part], number[part] = found.mean(axis=1), counts.sum(axis=1)
    return result, number


def numbered(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number groups (n,) from 0, the group with the most faces first, then by the first face."""
    first, person, sizes = np.unique(group, return_inverse=True, return_counts=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(first))
    return rank[person]


def _cohesion(embeddings: NDArray[np.float32], person: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of |x - y|^2 over the others y of n is (n |x - m|^2 + sum |y - m|^2) / (n - 1)."""
    sizes = np.bincount(person)
    means = np.zeros((len(sizes), embeddings.shape[1]))
    np.add.at(means, person, embeddings)
    means /= sizes[:, None]
    squares = np.empty(len(person))
    for start in range(0, len(person), _CHUNK):
        part = slice(start, start + _CHUNK)
        squares[part] = ((embeddings[part] - means[person[part]]) ** 2).sum(axis=1)
    total, size = np.bincount(person, weights=squares)[person], sizes[person]
    return np.where(size > 1, np.sqrt((size * squares + total) / np.maximum(size - 1, 1)), 0.0)
