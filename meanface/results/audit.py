"""Look for errors in a set of named photos: wrong names, split persons, bystanders, strange faces.

Names are compared with the nearest faces, since an average would hide a single wrong photo.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.results.neighbours import nearest
from meanface.results.pair_counts import LONGEST
from meanface.results.people import stranger_distances

NEIGHBOURS = 96
"""How many neighbours of each face `Audit` needs."""
NEAR = 0.45
"""Near-duplicates with a larger distance are not looked for."""
STRANGE = 3.5
"""The modified z-score of a face unlike all others: Iglewicz and Hoaglin 1993, "How to Detect and
Handle Outliers"."""

_FARTHEST = 0.6  # two identities are never one person at a larger mean distance, as in people
_NEAREST = 3  # faces of an identity that tell how near the identity is
_FEWEST = 10  # fewer faces do not tell which of them is an outlier
_ALIKE = 1e-3  # nearer faces are the same picture, and a ratio to their distance says nothing
_CHUNK = 1 << 14  # faces at a time


class Finding(NamedTuple):
    """A face, by its row, another one that it is compared with, their distance, and a score.

    A higher score is a stronger finding of its kind.
    """

    row: int
    other: int
    distance: float
    score: float


@dataclass(frozen=True)
class Named:
    """Faces: embeddings (n, d) of photos (n,), and their persons by number (n,), -1 for no name."""

    embeddings: NDArray[np.float32]
    photo: NDArray[np.intp]
    name: NDArray[np.intp]

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], faces: pd.DataFrame) -> "Named":
        """Take faces with the columns path and identity."""
        names = faces["identity"].where(faces["identity"] != "", None)
        photos = pd.factorize(faces["path"])[0]
        return cls(embeddings, photos, pd.factorize(names, sort=True)[0])


class Audit:
    """The findings of each kind, strongest first. Memory grows by 1.3 kB per face."""

    def __init__(self, named: Named, *, same_person: float, threads: int = 1) -> None:
        """Compare the faces. `same_person` is the threshold of `people`."""
        self._named, self._same_person = named, same_person
        self._near = nearest(named.embeddings, most=NEIGHBOURS, threads=threads)
        alone = named.name.max(initial=-1) + 1 + np.arange(len(named.name))
        self._groups = np.where(named.name < 0, alone, named.name).astype(np.int64)
        self._threads = threads
        self._strangers = self._stranger_distances(_FARTHEST / same_person)
        self._own = _own_distances(named, threads)

    def other_identity(self) -> list[Finding]:
        """Find faces that are nearer to another identity than to their own.

        An identity is as near as its three nearest faces on average, without the face itself. The
        score is the distance of the own identity divided by that of the other.
        """
        found: list[Finding] = []
        for rows, others, lengths, nearness in self._others():
            score = self._own[rows] / np.maximum(nearness, _ALIKE)
            found += _findings(score > 1, rows, others, lengths, score)
        return _sorted(found)

    def _others(self) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield rows, the nearest face of the nearest other identity, its distance, nearness."""
        name = self._named.name
        size = np.bincount(name[name >= 0], minlength=1)
        for start in range(0, len(name), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(name)))
            near, lengths = self._near.rows[rows], self._near.distances[rows].astype(np.float64)
            whose = np.where(near >= 0, name[near], -1)
            whose[whose == name[rows, None]] = -1
            order = np.argsort(whose, axis=1, kind="stable")
            whose, near = (np.take_along_axis(one, order, 1) for one in (whose, near))
            last = np.where(np.isfinite(lengths), lengths, 0).max(axis=1, keepdims=True)
            lengths = np.take_along_axis(lengths, order, 1)
            place = np.broadcast_to(np.arange(whose.shape[1]), whose.shape)
            is_first = np.diff(whose, axis=1, prepend=-2) != 0
            first = np.maximum.accumulate(np.where(is_first, place, 0), axis=1)
            turn = place - first
            counts = (whose >= 0) & (turn < _NEAREST)
            total = np.cumsum(np.where(counts, lengths, 0), axis=1)
            total -= np.take_along_axis(total, first, 1) - np.take_along_axis(
                np.where(counts, lengths, 0), first, 1
            )
            wanted = np.minimum(np.maximum(size[whose], 1), _NEAREST)
            # Faces that are no neighbours are as far as the last neighbour at least.
            nearness = (total + np.maximum(wanted - turn - 1, 0) * last) / wanted
            nearness = np.where(counts, nearness, np.inf)
            best = nearness.argmin(axis=1, keepdims=True)
            start_of = np.take_along_axis(first, best, 1)
            yield (
                rows,
                np.take_along_axis(near, start_of, 1)[:, 0],
                np.take_along_axis(lengths, start_of, 1)[:, 0],
                np.take_along_axis(nearness, best, 1)[:, 0],
            )

    def one_person(self) -> list[Finding]:
        """Find two identities that are one person, each pair by its nearest faces.

        Their distance is the root mean square of the distances of all pairs of their faces, divided
        by how far strangers are from them. The score is `same_person` divided by this distance.
        """
        name = self._named.name
        pairs = self._near_pairs(_FARTHEST)
        pairs = pairs[(name[pairs["row"]] >= 0) & (name[pairs["other"]] >= 0)]
        ends = np.sort([name[pairs["row"]], name[pairs["other"]]], axis=0)
        pairs = pairs.assign(one=ends[0], two=ends[1])
        pairs = pairs[pairs["one"] != pairs["two"]].drop_duplicates(["one", "two"])
        if pairs.empty:
            return []
        known = name >= 0
        sizes = np.bincount(name[known])
        means = np.zeros((len(sizes), self._named.embeddings.shape[1]))
        np.add.at(means, name[known], self._named.embeddings[known].astype(np.float64))
        means /= sizes[:, None]
        spread = np.zeros(len(sizes))
        for start in range(0, len(name), _CHUNK):
            part = np.flatnonzero(known[start : start + _CHUNK]) + start
            off = self._named.embeddings[part] - means[name[part]]
            np.add.at(spread, name[part], np.square(off).sum(axis=1) / sizes[name[part]])
        strangers = np.bincount(name[known], weights=self._strangers[known]) / sizes
        one, two = pairs["one"].to_numpy(), pairs["two"].to_numpy()
        square = np.square(means[one] - means[two]).sum(axis=1) + spread[one] + spread[two]
        score = self._same_person / np.sqrt(
            np.maximum(square, _ALIKE**2) / (strangers[one] * strangers[two])
        )
        is_found = (score > 1) & (square < _FARTHEST**2)
        columns = (pairs[column].to_numpy() for column in ("row", "other", "distance"))
        return _sorted(_findings(is_found, *columns, score))

    def two_in_photo(self) -> list[Finding]:
        """Find faces beside another face of their photo that fits their identity better.

        The score is the distance to the own identity divided by that of the better face.
        """
        rows = np.flatnonzero(self._named.name >= 0)
        order = rows[np.lexsort((rows, self._own[rows], self._named.photo[rows]))]
        photo = self._named.photo[order]
        best = order[np.searchsorted(photo, photo)]
        later = order != best
        row, best = order[later], best[later]
        vectors = self._named.embeddings
        lengths = np.linalg.norm(vectors[row].astype(np.float64) - vectors[best], axis=1)
        score = self._own[row] / np.maximum(self._own[best], _ALIKE)
        # Two faces alone in an identity have the same distance to it, so neither fits better.
        return _sorted(_findings(score > 1, row, best, lengths, score))

    def unlike_all(self) -> list[Finding]:
        """Find faces that are far from their three nearest faces. Copies do not count.

        The score is the modified z-score of the logarithm of the mean distance. Faces with others
        of their identity are one group, all other faces a second group: the only face of a person
        is farther from all others without being an error. A face with a mean distance of at most
        _FARTHEST is not found.
        """
        near = self._near
        count = len(near.rows)
        lengths, place = np.empty(count), np.empty(count, np.int64)
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            distances = near.distances[part]
            # A copy is as far as is known of others: the last neighbour may be a copy too.
            farthest = np.minimum(distances[:, -1:], LONGEST)
            others = np.where(distances > _ALIKE, np.minimum(distances, farthest), farthest)
            lengths[part] = np.sort(others, axis=1)[:, :_NEAREST].mean(axis=1, dtype=np.float64)
            place[part] = np.argmax(distances > _ALIKE, axis=1)
        score = np.zeros(len(lengths))
        for rows in map(np.flatnonzero, (np.isnan(self._own), ~np.isnan(self._own))):
            if len(rows) >= _FEWEST:
                logs = np.log(np.maximum(lengths[rows], _ALIKE))
                off = logs - np.median(logs)
                score[rows] = 0.6745 * off / max(float(np.median(np.abs(off))), _ALIKE)
        rows = np.arange(count)
        other, distance = near.rows[rows, place], near.distances[rows, place]
        is_found = (score > STRANGE) & (lengths > _FARTHEST) & (other >= 0) & (distance > _ALIKE)
        return _sorted(_findings(is_found, rows, other, distance, score))

    def perhaps_duplicates(self) -> list[Finding]:
        """Find pairs of photos that may be near-duplicates, each by its nearest faces."""
        pairs = self._near_pairs(NEAR)
        photo = self._named.photo
        ends = np.sort([photo[pairs["row"]], photo[pairs["other"]]], axis=0)
        pairs = pairs.assign(one=ends[0], two=ends[1])
        pairs = pairs[pairs["one"] != pairs["two"]].drop_duplicates(["one", "two"])
        columns = (pairs[column].to_numpy() for column in ("row", "other", "distance"))
        return [*_findings(np.ones(len(pairs), bool), *columns, np.zeros(len(pairs)))]

    def _stranger_distances(self, farthest: float) -> NDArray[np.float64]:
        return stranger_distances(
            self._named.embeddings, self._near, self._groups, farthest, threads=self._threads
        )

    def _near_pairs(self, farthest: float) -> pd.DataFrame:
        """Give the pairs of neighbours that are nearer, nearest first: row < other, distance."""
        row, place = np.nonzero(self._near.distances < farthest)
        other = self._near.rows[row, place]
        lengths = self._near.distances[row, place]
        pairs = pd.DataFrame(
            {"row": np.minimum(row, other), "other": np.maximum(row, other), "distance": lengths}
        )
        return pairs.drop_duplicates(["row", "other"]).sort_values(["distance", "row", "other"])


def _own_distances(named: Named, threads: int) -> NDArray[np.float64]:
    """Give the mean distance to the three nearest other faces of the identity; nan for none."""
    own = np.full(len(named.name), np.nan)
    order = np.argsort(named.name, kind="stable")
    order = order[np.searchsorted(named.name[order], 0) :]
    starts = np.flatnonzero(np.diff(named.name[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        if len(rows) > 1:
            most = min(_NEAREST, len(rows) - 1)
            near = nearest(named.embeddings[rows], most=most, threads=threads)
            own[rows] = near.distances.astype(np.float64).mean(axis=1)
    return own


def _findings(is_found: NDArray[np.bool_], *columns: NDArray[Any]) -> list[Finding]:
    chosen = (column[is_found].tolist() for column in columns)
    return [Finding(*row) for row in zip(*chosen, strict=True)]


def _sorted(found: Iterable[Finding]) -> list[Finding]:
    return sorted(found, key=lambda one: (-one.score, one.row, one.other))
