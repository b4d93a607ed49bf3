"""The statistics stage: how embeddings scatter about their mean, and the mean of each person.

Sums are exact and rounded once, so that the order of rows, shards or cores changes no bit.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.engine.outcome import DIMENSIONS
from meanface.errors import AccountingError
from meanface.files.arrays import release, save_array
from meanface.files.atomic import replacing
from meanface.files.schemas import FACES, IDENTITIES
from meanface.files.tables import read_table, write_table
from meanface.results.exact_moments import CHUNK, ExactMoments
from meanface.results.exact_sum import ExactSum

# An ExactSum takes milliseconds for any number of rows, math.fsum a time that grows with the rows.
# From about this number of rows on, ExactSum is faster.
_MANY = 2**10


@dataclass(frozen=True)
class Statistics:
    """The moments of `count` embeddings.

    * `mean`, float64 (128,): the arithmetic mean.
    * `unit_mean`, (128,): the mean scaled to length 1; nan where the mean is zero.
    * `covariance`, float64 (128, 128): the sample covariance, divided by count - 1, correctly
      rounded.
    * `standard_deviation`, (128,): the square root of the covariance's diagonal.
    * `standard_error`, (128,): standard_deviation / sqrt(count), which takes the embeddings for
      independent.

    The last three are nan for a single embedding.
    """

    count: int
    mean: NDArray[np.float64]
    unit_mean: NDArray[np.float64]
    standard_deviation: NDArray[np.float64]
    covariance: NDArray[np.float64]
    standard_error: NDArray[np.float64]

    @property
    def error_of_mean(self) -> float:
        """The standard error of the mean as a distance: the length of `standard_error`."""
        return math.sqrt(np.trace(self.covariance) / self.count)


@dataclass(frozen=True)
class Identities:
    """k persons, sorted by name (by code point). The name "" has the photos in no folder.

    * `photos`, int64 (k,): the number of a person's embeddings.
    * `means`, float64 (k, 128): a person's mean, which is the exact sum, rounded once, divided by
      the number.
    * `spread`, float64 (k,): the root mean square distance of a person's embeddings to the person's
      mean; 0 for one photo.
    * `distance`, float64 (k,): the distance of a person's mean to the mean of all embeddings.

    Distances are Euclidean.
    """

    names: list[str]
    photos: NDArray[np.int64]
    means: NDArray[np.float64]
    spread: NDArray[np.float64]
    distance: NDArray[np.float64]


def distances(
    embeddings: NDArray[np.float32] | NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the Euclidean distances of embeddings (n, 128) to a mean (128,), float64 (n,).

    The bits of a row's distance do not depend on the other rows.
    """
    result = np.empty(len(embeddings))
    for start in range(0, len(embeddings), CHUNK):
        part = slice(start, start + CHUNK)
        result[part] = np.sqrt(_squared_distances(embeddings[part], mean))
        release(embeddings)
    return result


def _squared_distances(
    rows: NDArray[np.float32] | NDArray[np.float64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the squared distances of rows (n, d) to one centre (d,) or one each (n, d)."""
    total = np.zeros(len(rows))
    # Not BLAS or np.sum: their order of adding depends on the shape and on the processor.
    for column, centre in zip(rows.T, centres.T, strict=True):
        difference = column - centre
        total += difference * difference
    return total


def statistics_of(moments: ExactMoments) -> Statistics:
    """Give the statistics of the vectors in `moments`. Raises ValueError: no vectors."""
    mean, covariance = moments.mean(), moments.covariance()
    length = math.sqrt(math.fsum(mean * mean))
    standard_deviation = np.sqrt(np.diagonal(covariance))
    return Statistics(
        count=moments.count,
        mean=mean,
        unit_mean=mean / length if length else np.full_like(mean, np.nan),
        standard_deviation=standard_deviation,
        covariance=covariance,
        standard_error=standard_deviation / math.sqrt(moments.count),
    )


def read_statistics(source: Path) -> Statistics:
    """Read the .npz file that write_statistics wrote."""
    with np.load(source, allow_pickle=False) as arrays:
        return Statistics(**{**arrays, "count": int(arrays["count"])})


def identities_of(
    embeddings: NDArray[np.float32],
    rows: NDArray[np.int64],
    identities: "pd.Series[str]",
    mean: NDArray[np.float64],
) -> Identities:
    """Give the persons in some `rows` of embeddings (n, 128).

    identities[i] is the name of the person in row rows[i]. `mean`, float64 (128,), is the mean of
    all these rows.
    """
    codes, names = pd.factorize(identities, sort=True)
    photos = np.bincount(codes, minlength=len(names))
    ends = np.cumsum(photos)[:-1]
    order = np.argsort(codes, kind="stable")
    means = np.empty((len(names), embeddings.shape[1]))
    for person, theirs in enumerate(np.split(rows[order], ends)):
        means[person] = _mean(embeddings, theirs)
    squares = np.concatenate(
        [_squared_distances(embeddings[rows[part]], means[codes[part]]) for part in _chunks(order)]
    )
    spread = [
        math.sqrt(math.fsum(theirs.tolist()) / len(theirs)) for theirs in np.split(squares, ends)
    ]
    return Identities(
        names=names.tolist(),
        photos=photos,
        means=means,
        spread=np.array(spread),
        distance=distances(means, mean),
    )


def _mean(embeddings: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the mean of some rows: the exact sum, rounded once, divided by their number."""
    if len(rows) < _MANY:
        sums = [math.fsum(column) for column in embeddings[rows].T.tolist()]
        return np.array(sums) / len(rows) + 0.0  # + 0.0: ExactSum gives no -0.0 either
    total = ExactSum(embeddings.shape[1])
    for part in _chunks(rows):
        total.add(embeddings[part])
    return total.mean()


def _chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def write_statistics(
    embeddings: Path,
    faces: Path,
    mean: Path,
    *,
    deduplicate: bool,
    statistics: Path,
    identities: Path,
    identity_means: Path,
    mean_by_identity: Path,
) -> Identities:
    """Write the statistics of the merged `embeddings`. Row i belongs to row i of `faces`.

    `deduplicate` leaves out photos whose content an earlier photo has (`duplicate_of`). Results:

    * `statistics`: .npz, the fields of Statistics.
    * `identities`: CSV, IDENTITIES, distances rounded to 6 decimals.
    * `identity_means`: float64 (k, 128); row i belongs to row i of `identities`.
    * `mean_by_identity`: float64 (128,), the mean of these k rows. Each person counts once.

    Raises AccountingError where the three files do not belong together. Then nothing is written.
    """
    vectors = np.asarray(np.load(embeddings, mmap_mode="r", allow_pickle=False))
    table = read_table(faces, FACES, ["identity", "duplicate_of"])
    if vectors.dtype != np.float32 or vectors.shape != (len(table), DIMENSIONS):
        raise AccountingError(
            f"{embeddings}: {vectors.dtype} {vectors.shape} for {len(table)} rows of {faces}"
        )
    if deduplicate:
        table = table[table["duplicate_of"] == ""]
    rows = table.index.to_numpy()
    moments = ExactMoments(DIMENSIONS)
    for part in _chunks(rows):
        moments.add(vectors[part])
    whole = statistics_of(moments)
    if not np.array_equal(whole.mean, np.load(mean, allow_pickle=False)):
        raise AccountingError(f"{mean} is not the mean of {whole.count} rows of {embeddings}")
    persons = identities_of(vectors, rows, table["identity"], whole.mean)
    # Column by column: a list of all means takes a gigabyte for a few hundred thousand persons.
    sums = np.array([math.fsum(column.tolist()) for column in persons.means.T])

    with replacing(statistics) as part_file, part_file.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **asdict(whole))
    write_table(identities, IDENTITIES, _rows(persons))
    save_array(identity_means, persons.means)
    save_array(mean_by_identity, sums / len(persons.names))
    return persons


def _rows(persons: Identities) -> Iterator[tuple[str, int, float, float]]:
    for name, photos, spread, distance in zip(
        persons.names,
        persons.photos.tolist(),
        persons.spread.tolist(),
        persons.distance.tolist(),
        strict=True,
    ):
        yield name, photos, round(spread, 6), round(distance, 6)
