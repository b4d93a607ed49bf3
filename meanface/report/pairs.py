"""Distances between faces of one person and of two people, and the nearest faces of two people."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.files.arrays import taken

Rows = NDArray[np.int64]
_CHUNK = 1 << 14  # pairs whose difference is in memory at a time
_FACES = 512  # faces compared with all others at a time


class Pairs(NamedTuple):
    """Pairs of rows (n,), (n,) of the embeddings, drawn from `total` pairs."""

    first: Rows
    second: Rows
    total: int


def within(people: "pd.Series[str]", most: int) -> Pairs:
    """Give the pairs of rows of one person; at random `most` of them, always the same.

    `people` names the person of each row, by the row's number. The name "" is no person.
    """
    named = people[people != ""]
    codes, _ = pd.factorize(named, sort=True)
    rows = named.index.to_numpy()[np.argsort(codes, kind="stable")]
    photos = np.bincount(codes) if len(codes) else np.zeros(0, dtype=np.int64)
    starts = np.cumsum(photos) - photos
    ends = np.cumsum(photos * (photos - 1) // 2)
    total = int(ends[-1]) if len(ends) else 0
    chosen = np.arange(total)
    if total > most:
        chosen = np.random.default_rng(0).integers(0, total, most)
    person = np.searchsorted(ends, chosen, side="right")
    # Pair number p of a person is (i, j), i < j, where p = j (j - 1) / 2 + i.
    number = chosen - (ends - photos * (photos - 1) // 2)[person]
    j = ((1 + np.sqrt(1 + 8 * number.astype(float))) // 2).astype(np.int64)
    i = number - j * (j - 1) // 2
    return Pairs(rows[starts[person] + i], rows[starts[person] + j], total)


def between(people: "pd.Series[str]", most: int) -> Pairs:
    """Give the pairs of rows of two people; at random about `most` of them, always the same."""
    named = people[people != ""]
    codes, _ = pd.factorize(named, sort=True)
    rows = named.index.to_numpy()
    photos = np.bincount(codes) if len(codes) else np.zeros(0, dtype=np.int64)
    count = len(rows)
    total = count * (count - 1) // 2 - int((photos * (photos - 1) // 2).sum())
    if count * (count - 1) // 2 <= most:
        i, j = np.triu_indices(count, 1)
    else:
        i, j = np.random.default_rng(0).integers(0, count, (2, most))
    differ = codes[i] != codes[j]
    return Pairs(rows[i[differ]], rows[j[differ]], total)


def distances(embeddings: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float64]:
    """Give the Euclidean distance of each pair of rows of embeddings (n, d)."""
    result = np.empty(len(pairs.first))
    for start in range(0, len(result), _CHUNK):
        part = slice(start, start + _CHUNK)
        one, other = (taken(embeddings, rows[part]) for rows in pairs[:2])
        difference = one - other.astype(float)
        result[part] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return result


def nearest_between(
    embeddings: NDArray[np.float32], people: "pd.Series[str]", rows: Rows, most: int
) -> list[tuple[int, int, float]]:
    """Give the nearest two faces of two people: (row, row, distance), nearest first.

    `people` names the person of rows of the embeddings (n, d), by the row's number, and "" is no
    person. Looks at the given `rows` alone. Two people are named once, and at most `most` pairs are
    given.
    """
    who = people.reindex(rows)
    rows, who = rows[(who != "").to_numpy()], who[who != ""]
    if not len(rows):
        return []
    codes, _ = pd.factorize(who, sort=True)
    order = np.argsort(codes, kind="stable")
    rows, codes = rows[order], codes[order]
    vectors = taken(embeddings, rows).astype(float)
    found = []
    for pair in _nearest_people(vectors, codes, most):
        one, other = (np.flatnonzero(codes == person) for person in pair)
        away = _squares(vectors[one], vectors[other])
        i, j = np.unravel_index(away.argmin(), away.shape)
        i, j = one[i], other[j]
        found.append((int(rows[i]), int(rows[j]), float(np.linalg.norm(vectors[i] - vectors[j]))))
    return sorted(found, key=lambda pair: pair[2])


def _nearest_people(
    vectors: NDArray[np.float64], codes: NDArray[np.int64], most: int
) -> list[tuple[int, int]]:
    """Give the `most` two people whose faces are nearest. `codes`, ascending, number the people."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    nearest: dict[tuple[int, int], float] = {}
    for start in range(0, len(codes), _FACES):
        part = slice(start, start + _FACES)
        of_faces = np.minimum.reduceat(_squares(vectors[part], vectors), starts, axis=1)
        firsts = np.flatnonzero(np.diff(codes[part], prepend=-1))
        of_people = np.minimum.reduceat(of_faces, firsts, axis=0)
        who = codes[part][firsts]
        of_people[np.arange(len(who)), who] = np.inf
        # Both orders of two people may be in the part, so twice as many are kept.
        for place in np.argsort(of_people, axis=None, kind="stable")[: 2 * most].tolist():
            one, other = int(who[place // len(starts)]), place % len(starts)
            if np.isfinite(value := float(of_people.flat[place])):
                pair = (min(one, other), max(one, other))
                nearest[pair] = min(value, nearest.get(pair, np.inf))
    return sorted(nearest, key=lambda pair: nearest[pair])[:most]


def _squares(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the squared distances of (n, d) and (m, d) as (n, m), up to the rounding."""
    lengths = [np.einsum("ij,ij->i", one, one) for one in (some, others)]
    return np.asarray(lengths[0][:, None] + lengths[1] - 2 * some @ others.T)
