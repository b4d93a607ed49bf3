"""The statistics stage: how embeddings scatter about their mean, and the mean of each person.

Sums are exact and rounded once, so that the order of rows, shards or cores changes no bit.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from meanface.engine.outcome import DIMENSIONS
from meanface.errors import AccountingError
from meanface.files.arrays import release, save_array
from meanface.files.atomic import replacing
from meanface.files.parquet import read_batches
from meanface.files.schemas import IDENTITIES
from meanface.files.scratch import Scratch, scratch
from meanface.files.tables import write_table
from meanface.results.clustered_error import clustered_error
from meanface.results.exact_moments import CHUNK, ExactMoments
from meanface.results.exact_sum import ExactSum

# An ExactSum takes milliseconds for any number of rows, math.fsum a time that grows with the rows.
# From about this number of rows on, ExactSum is faster.
_MANY = 2**10
_ROWS = 1 << 16  # rows of a table in memory at a time


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
    * `standard_error_by_person`, (128,): the standard error of the mean if the persons are
      independent, and the photos of a person are not; see clustered_error. nan for a single person.

    All but the means are nan for a single embedding.
    """

    count: int
    mean: NDArray[np.float64]
    unit_mean: NDArray[np.float64]
    standard_deviation: NDArray[np.float64]
    covariance: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    standard_error_by_person: NDArray[np.float64]

    @property
    def error_of_mean(self) -> float:
        """The standard error of the mean as a distance: the length of `standard_error`."""
        return math.sqrt(np.trace(self.covariance) / self.count)

    @property
    def error_of_mean_by_person(self) -> float:
        """The same with persons as clusters: the length of `standard_error_by_person`."""
        return math.sqrt(math.fsum(np.square(self.standard_error_by_person)))


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


def statistics_of(
    moments: ExactMoments, standard_error_by_person: NDArray[np.float64] | None = None
) -> Statistics:
    """Give the statistics of the vectors in `moments`. Raises ValueError: no vectors.

    The standard error by person is from clustered_error, or else nan.
    """
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
        standard_error_by_person=(
            np.full_like(mean, np.nan)
            if standard_error_by_person is None
            else standard_error_by_person
        ),
    )


def read_statistics(source: Path) -> Statistics:
    """Read the .npz file that write_statistics wrote."""
    with np.load(source, allow_pickle=False) as arrays:
        return Statistics(**{**arrays, "count": int(arrays["count"])})


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
) -> tuple[int, int]:
    """Write the statistics of the merged `embeddings`; give the numbers of faces and persons.

    Row i of `embeddings` belongs to row i of `faces`, a table as Parquet. `deduplicate` leaves out
    photos whose content an earlier photo has (`duplicate_of`). Persons are sorted by name (by code
    point); the name "" has the photos in no folder. Results:

    * `statistics`: .npz, the fields of Statistics. Photos in no folder count as persons of their
      own in `standard_error_by_person`.
    * `identities`: CSV, IDENTITIES, a row per person, distances rounded to 6 decimals.
    * `identity_means`: float64 (k, 128); row i belongs to row i of `identities`. A mean is the
      exact sum, rounded once, divided by the number.
    * `mean_by_identity`: float64 (128,), the mean of these k rows. Each person counts once.

    Raises AccountingError where the three files do not belong together. Then nothing is written.
    """
    vectors = np.load(embeddings, mmap_mode="r", allow_pickle=False)
    with scratch(statistics) as tables:
        count = _load(tables, faces, deduplicate)
        if vectors.dtype != np.float32 or vectors.shape != (count, DIMENSIONS):
            raise AccountingError(
                f"{embeddings}: {vectors.dtype} {vectors.shape} for {count} rows of {faces}"
            )
        moments = ExactMoments(DIMENSIONS)
        for batch in tables.batches("SELECT row FROM counted ORDER BY row", CHUNK):
            moments.add(vectors[batch["row"].to_numpy()])
            release(vectors)
        centre = moments.mean()
        if not np.array_equal(centre, np.load(mean, allow_pickle=False)):
            raise AccountingError(f"{mean} is not the mean of {moments.count} rows of {embeddings}")

        photos = _column(tables, "SELECT photos FROM persons", "photos")
        rows = _column(tables, "SELECT row FROM counted", "row")
        spread = _write_means(identity_means, vectors, rows, photos)
        means = np.load(identity_means, mmap_mode="r", allow_pickle=False)
        away = distances(means, centre)
        # The name "", of photos in no folder, comes first.
        unnamed = tables.number("SELECT count(*) FROM persons WHERE identity = ''")
        nameless = ExactMoments(DIMENSIONS)
        for part in _parts_of(vectors, rows[: photos[:unnamed].sum()]):
            nameless.add(part)
        error = clustered_error(centre, photos[unnamed:], means[unnamed:], nameless)
        whole = statistics_of(moments, error)
        with replacing(statistics) as file, file.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **asdict(whole))
        persons = tables.tuples("SELECT identity, photos FROM persons")
        for values in (spread, away):  # in place: there may be millions of persons
            np.round(values, 6, out=values)
        rounded = zip(persons, spread, away, strict=True)
        write_table(identities, IDENTITIES, ((*person, *numbers) for person, *numbers in rounded))
        save_array(mean_by_identity, _sums(means) / len(means))
        return whole.count, len(means)


def _load(tables: Scratch, faces: Path, deduplicate: bool) -> int:
    """Make the tables counted and persons, sorted by person. Give the number of faces.

    The table counted has the identity of each row of the embeddings that counts.
    """
    start = 0
    for batch in read_batches(faces, _ROWS, ["identity", "duplicate_of"]):
        row = pa.array(np.arange(start, start + len(batch)))
        start += len(batch)
        table = pa.table({"identity": batch["identity"], "row": row})
        if deduplicate:
            import pyarrow.compute as pc  # takes longer than the rest of pyarrow

            table = table.filter(pc.equal(batch["duplicate_of"], ""))
        tables.append("faces", table)
    tables.run("CREATE TABLE counted AS FROM faces ORDER BY identity, row")
    tables.run(
        "CREATE TABLE persons AS SELECT identity, count(*) AS photos FROM counted"
        " GROUP BY identity ORDER BY identity"
    )
    return start


def _column(tables: Scratch, sql: str, name: str) -> NDArray[np.int64]:
    """Give the integers of a query as an array on disk."""
    file = tables.folder / name
    with file.open("wb") as stream:
        for batch in tables.batches(sql, _ROWS):
            stream.write(batch[name].to_numpy().tobytes())
    return np.memmap(file, np.int64, mode="r")


def _write_means(
    target: Path,
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    photos: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Write the mean of each person; give each person's spread.

    photos[i] is the number of person i's embeddings. `rows` has the embeddings' numbers, person by
    person.
    """
    spread = np.empty(len(photos))
    with replacing(target) as part:
        means = open_memmap(part, mode="w+", dtype=np.float64, shape=(len(photos), DIMENSIONS))
        start = 0
        for block in _blocks(photos):
            theirs = rows[start : start + photos[block].sum()]
            one = block.stop - block.start == 1
            means[block], spread[block] = (
                _person(vectors, theirs) if one else _persons(vectors[theirs], photos[block])
            )
            start += len(theirs)
            release(means)
            release(vectors)
        means.flush()
    return spread


def _blocks(photos: NDArray[np.int64]) -> Iterator[slice]:
    """Yield ranges of persons with up to CHUNK photos together, or one person with more."""
    ends = np.cumsum(photos)
    first = 0
    while first < len(photos):
        before = ends[first] - photos[first]
        last = max(first + 1, int(np.searchsorted(ends, before + CHUNK, "right")))
        yield slice(first, last)
        first = last


def _parts_of(
    vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """Yield the vectors in some rows, CHUNK at a time."""
    for start in range(0, len(rows), CHUNK):
        yield vectors[rows[start : start + CHUNK]]
        release(vectors)


def _persons(
    vectors: NDArray[np.float32], photos: NDArray[np.int64]
) -> tuple[NDArray[np.float64], list[float]]:
    """Give the means and the spreads of persons whose vectors are one after the other."""
    ends = np.cumsum(photos)[:-1]
    means = np.array([_mean_of_few(theirs) for theirs in np.split(vectors, ends)])
    squares = _squared_distances(vectors, np.repeat(means, photos, axis=0))
    return means, [_root_mean(theirs.tolist(), len(theirs)) for theirs in np.split(squares, ends)]


def _person(
    vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], float]:
    """Give the mean and the spread of the vectors in some rows, in constant memory."""

    mean = _mean(_parts_of(vectors, rows))
    squares = chain.from_iterable(
        _squared_distances(part, mean).tolist() for part in _parts_of(vectors, rows)
    )
    return mean, _root_mean(squares, len(rows))


def _mean_of_few(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    if len(vectors) >= _MANY:
        return _mean([vectors])
    sums = [math.fsum(column) for column in vectors.T.tolist()]
    return np.array(sums) / len(vectors) + 0.0  # + 0.0: ExactSum gives no -0.0 either


def _mean(parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Give the mean of vectors: the exact sum, rounded once, divided by their number."""
    total = ExactSum(DIMENSIONS)
    for part in parts:
        total.add(part)
    return total.mean()


def _root_mean(squares: Iterable[float], count: int) -> float:
    return math.sqrt(math.fsum(squares) / count)


def _sums(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the exact sum of each column, rounded once, in constant memory."""
    return np.array(
        [
            math.fsum(chain.from_iterable(part[:, number].tolist() for part in _parts(means)))
            for number in range(means.shape[1])
        ]
    )


def _parts(means: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(means), CHUNK):
        yield means[start : start + CHUNK]
        release(means)
