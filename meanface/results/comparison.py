"""Compares two sets of photos by person, since photos of one person are not independent samples.

* The distance of the means, corrected for its noise, with an interval.
* The Frechet distance of two normal distributions: D. C. Dowson and B. V. Landau, "The Frechet
  distance between multivariate normal distributions", Journal of Multivariate Analysis 12 (1982),
  450-455. As in the Frechet Inception Distance, the value is the squared distance.
* The maximum mean discrepancy (MMD), unbiased, with a p-value from permutations: A. Gretton et al.,
  "A kernel two-sample test", Journal of Machine Learning Research 13 (2012), 723-773. The Gaussian
  kernel is approximated with random features: A. Rahimi and B. Recht, "Random features for
  large-scale kernel machines", NIPS 2007. So time and memory grow linearly with the number of
  photos.

A person who is in both sets is one unit: a permutation exchanges the person's two parts.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 1999
FEATURES = 256
"""Frequencies of the random features; each gives a cosine and a sine."""
LEVEL = 0.95
_Z = 1.959963984540054  # the quantile of LEVEL of the normal distribution, for both sides
_SEED = 2012
_ROWS = 1 << 13  # photos at a time
_LABELS = 1 << 26  # labels at a time
_PAIRS = 4000  # pairs of photos whose median distance is the width of the kernel


@dataclass(frozen=True)
class PersonMeans:
    """The means of each person's photos in two sets.

    `first` and `second`, float64 (k, d), are means of k persons. `photos`, int64 (2, k), are the
    numbers of their photos. A person without photos in a set has zeros there.
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]
    photos: NDArray[np.int64]


@dataclass(frozen=True)
class Distance:
    """A distance with its interval of LEVEL."""

    distance: float
    low: float
    high: float


@dataclass(frozen=True)
class Discrepancy:
    """The squared MMD, its p-value, and the squared MMD of each permutation."""

    squared: float
    p_value: float
    permuted: NDArray[np.float64]


def person_means(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    persons: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> PersonMeans:
    """Give the means of persons, of embeddings (n, d) and (m, d).

    persons[0][i] is the number of the person in row i of `first`. Numbers count the persons of both
    sets together, from 0 and without gaps.
    """
    count = 1 + max(int(codes.max(initial=-1)) for codes in persons)
    photos = np.array([np.bincount(codes, minlength=count) for codes in persons])
    means = np.zeros((count, first.shape[1])), np.zeros((count, first.shape[1]))
    for rows, codes, number, mean in zip((first, second), persons, photos, means, strict=True):
        for part in _parts(len(rows)):
            np.add.at(mean, codes[part], rows[part].astype(np.float64))
        mean /= np.maximum(number, 1)[:, np.newaxis]
    return PersonMeans(*means, photos)


def distance_of_means(persons: PersonMeans) -> Distance:
    """Give the distance of the means of all photos, with persons as clusters.

    The noise of two means adds its variance to their squared distance. This variance is
    subtracted. The interval is that of the squared length of a normal vector. Every number is nan
    for fewer than two persons.
    """
    count = len(persons.photos.T)
    if count < 2:
        return Distance(math.nan, math.nan, math.nan)
    share = persons.photos / persons.photos.sum(axis=1, keepdims=True)
    means = share[0] @ persons.first, share[1] @ persons.second
    # What each person adds to the difference of the means. This is zero on average.
    parts = share[0][:, np.newaxis] * (persons.first - means[0])
    parts -= share[1][:, np.newaxis] * (persons.second - means[1])
    noise = count / (count - 1) * parts.T @ parts
    difference = means[0] - means[1]
    squared = float(difference @ difference - np.trace(noise))
    spread = 2 * float(np.square(noise).sum())
    variance = max(4 * float(difference @ noise @ difference) - spread, spread)
    ends = (squared + sign * _Z * math.sqrt(variance) for sign in (0, -1, 1))
    return Distance(*(math.sqrt(max(end, 0)) for end in ends))


def frechet_distance(
    means: tuple[NDArray[np.float64], NDArray[np.float64]],
    covariances: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> float:
    """Give the squared Frechet distance of two normal distributions."""
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    between = np.linalg.eigvalsh(root @ covariances[1] @ root)
    difference = means[0] - means[1]
    trace = sum(float(np.trace(covariance)) for covariance in covariances)
    shared = float(np.sqrt(np.maximum(between, 0)).sum())
    return max(float(difference @ difference) + trace - 2 * shared, 0.0)


def kernel_scale(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Give the median distance of random pairs of photos of both sets together; 1 if it is 0."""
    rng = np.random.default_rng(_SEED)
    count = len(first) + len(second)
    rows = rng.integers(0, count, (2, _PAIRS))
    picked = np.empty((*rows.shape, first.shape[1]))
    in_first = rows < len(first)
    picked[in_first] = first[rows[in_first]]
    picked[~in_first] = second[rows[~in_first] - len(first)]
    distances = np.linalg.norm(picked[0] - picked[1], axis=1)[rows[0] != rows[1]]
    return float(np.median(distances)) if len(distances) and np.median(distances) else 1.0


def discrepancy(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    persons: tuple[NDArray[np.intp], NDArray[np.intp]],
    *,
    permutations: int = PERMUTATIONS,
) -> Discrepancy:
    """Give the unbiased squared MMD of two sets of persons, and its p-value.

    Arguments are those of person_means. Each person counts once. Products of a person with itself
    are left out, so that the number of photos per person adds no bias. Takes 2 kB of memory per
    person. Raises ValueError for a set of fewer than two persons.
    """
    units = _units(first, second, persons)
    if min(units.counts) < 2:
        raise ValueError("a set has fewer than two persons")
    squared = np.concatenate([units.discrepancies(some) for some in _labels(units, permutations)])
    found, permuted = float(squared[0]), squared[1:]
    # A permutation that gives the same two sets differs in the last digits alone.
    as_large = int((permuted >= found - 1e-12).sum())
    return Discrepancy(found, (1 + as_large) / (1 + permutations), permuted)


@dataclass(frozen=True)
class _Units:
    """The features of k persons: what each brings to the set that its label names.

    A person with label 1 brings `kept`, float32 (k, w), to the first set. A person in both sets
    brings `other`, float32 (b, w), to the first set with label 0, and the one that is left to the
    second set. `both` (b,) has the numbers of these persons, `given` (k,) the labels of the sets as
    they are, `counts` the persons of each set.
    """

    kept: NDArray[np.float32]
    other: NDArray[np.float32]
    both: NDArray[np.intp]
    given: NDArray[np.bool_]
    counts: tuple[int, int]

    def discrepancies(self, labels: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give the squared MMD for each row of labels (r, k)."""
        total = self.kept.sum(axis=0, dtype=np.float64) + self.other.sum(axis=0, dtype=np.float64)
        sums = np.zeros((len(labels), len(total)))
        selves, every = np.zeros(len(labels)), 0.0
        exchanged = ~labels[:, self.both]
        for rows, chosen in ((self.kept, labels), (self.other, exchanged)):
            for part in _parts(len(rows)):
                some, weights = rows[part].astype(np.float64), chosen[:, part].astype(np.float64)
                lengths = np.square(some).sum(axis=1)
                sums += weights @ some
                selves += weights @ lengths
                every += float(lengths.sum())
        others = total - sums
        # A person in both sets makes no pair with itself.
        own = float(np.einsum("ij,ij->", self.kept[self.both], self.other, dtype=np.float64))
        n, m = self.counts
        within = (np.square(sums).sum(axis=1) - selves) / (n * (n - 1))
        within += (np.square(others).sum(axis=1) - (every - selves)) / (m * (m - 1))
        between = ((sums * others).sum(axis=1) - own) / (n * m - len(self.both))
        squared: NDArray[np.float64] = within - 2 * between
        return squared


def _units(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    persons: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> _Units:
    count = 1 + max(int(codes.max(initial=-1)) for codes in persons)
    photos = np.array([np.bincount(codes, minlength=count) for codes in persons])
    present = photos > 0
    both = np.flatnonzero(present.all(axis=0))
    rng = np.random.default_rng(_SEED)
    frequencies = rng.normal(0, 1 / kernel_scale(first, second), (first.shape[1], FEATURES))
    kept = np.zeros((count, 2 * FEATURES), np.float32)
    other = np.zeros((len(both), 2 * FEATURES), np.float32)
    place = np.full(count, -1)
    place[both] = np.arange(len(both))
    for number, (rows, codes) in enumerate(zip((first, second), persons, strict=True)):
        for part in _parts(len(rows)):
            of_both = place[codes[part]]
            features = _features(rows[part], frequencies)
            features /= photos[number, codes[part], np.newaxis]
            is_other = (of_both >= 0) & (number == 1)
            np.add.at(kept, codes[part][~is_other], features[~is_other].astype(np.float32))
            np.add.at(other, of_both[is_other], features[is_other].astype(np.float32))
    counts = present.sum(axis=1)
    return _Units(kept, other, both, present[0], (int(counts[0]), int(counts[1])))


def _features(rows: NDArray[np.float32], frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give features (n, 2 * FEATURES) whose products approximate the kernel."""
    angles = rows.astype(np.float64) @ frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / math.sqrt(FEATURES)


def _labels(units: _Units, permutations: int) -> Iterator[NDArray[np.bool_]]:
    """Yield labels (some, k): first those of the sets as they are, then permutations.

    Persons in one set are shuffled; each person in both sets exchanges the two parts or does not.
    """
    yield units.given[np.newaxis]
    rng = np.random.default_rng(_SEED + 1)
    alone = np.setdiff1d(np.arange(len(units.given)), units.both)
    some = max(1, _LABELS // len(units.given))
    for start in range(0, permutations, some):
        labels = np.tile(units.given, (min(some, permutations - start), 1))
        for row in labels:
            row[alone] = rng.permutation(units.given[alone])
        labels[:, units.both] = rng.integers(0, 2, (len(labels), len(units.both)), dtype=np.bool_)
        yield labels


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, rows, _ROWS))
