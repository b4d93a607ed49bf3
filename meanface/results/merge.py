"""The merge stage: the outcomes of all shards become the tables, the embeddings and their mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from meanface.engine.outcome import DIMENSIONS
from meanface.errors import AccountingError, UserError
from meanface.files.arrays import release, save_array
from meanface.files.parquet import read_batches, write_parquet
from meanface.files.schemas import FACES, FAILURES
from meanface.files.scratch import Scratch, scratch
from meanface.files.tables import arrow_schema, write_table
from meanface.results.exact_sum import ExactSum
from meanface.results.gather import Piece, gather
from meanface.results.joined import ShardFiles, join_shards
from meanface.results.statistics import distances
from meanface.shards.manifest import identity_of

_ROWS = 1 << 16  # rows in memory at a time
_PARQUET = arrow_schema(FACES)

_FAILURES = "SELECT path, reason, detail, shard FROM failed ORDER BY path"
_COUNT_FAILURES = """
    SELECT reason, count(*) FROM failed GROUP BY reason ORDER BY count(*) DESC, min(path)
"""
_MOST_FREQUENT = """
    SELECT reason, detail FROM failed GROUP BY ALL ORDER BY count(*) DESC, min(path) LIMIT 1
"""
_COUNT_DETECTORS = """
    SELECT detector, count(*) FROM sorted GROUP BY detector ORDER BY count(*) DESC, min(rowid)
"""
_OF_THE_FILE = ("not_an_image", "truncated", "unsupported", "too_large")
_COUNT_DUPLICATES = """
    SELECT (SELECT count(*) FROM photos WHERE sha256 <> '') - (SELECT count(*) FROM contents)
"""


@dataclass(frozen=True)
class Counts:
    """The counts of a run; photos = encoded + failed.

    `duplicates` counts the photos whose content an earlier photo has.
    """

    photos: int
    encoded: int
    failed: int
    faces: int
    duplicates: int
    failed_by_reason: dict[str, int]
    faces_by_detector: dict[str, int]


def merge(
    shards: Sequence[ShardFiles],
    *,
    deduplicate: bool,
    prefixed: bool = False,
    mean: Path,
    embeddings: Path,
    faces: Path | None,
    parquet: Path,
    file_rows: int | None = None,
    failures: Path,
    failures_alone: Path,
) -> Counts:
    """Merge the shards into `mean` (float64 (128,)), `embeddings` (float32 (n, 128)) and tables.

    Rows are sorted by path. Row i of `embeddings` belongs to row i of `parquet`, the table of
    faces. With `file_rows`, `parquet` is a folder of files with so many rows at most. `faces` is a
    copy of `parquet` as CSV; None for no copy. The mean is summed exactly, and so has the same bits
    for any number and order of shards. With `deduplicate`, each content counts once in the mean.
    `prefixed`: paths begin with the name of their source, which is no person. Merging takes a
    gigabyte of memory for any number of photos.

    Raises AccountingError where a photo is lost or counted twice, and UserError where there is no
    embedding at all. Then no result is written, but `failures_alone` gets the table of failures if
    there is no embedding.
    """
    with scratch(embeddings) as tables:
        in_shard = join_shards(tables, shards)
        by_reason = dict(tables.rows(_COUNT_FAILURES))
        count = tables.number("SELECT count(*) FROM sorted")
        if not count and not by_reason:
            raise UserError("exclude: the list names all photos; remove lines from the list")
        if not count:
            write_table(failures_alone, FAILURES, tables.tuples(_FAILURES))
            reasons = ", ".join(f"{reason} {number}" for reason, number in by_reason.items())
            raise UserError(
                f"no photo could be encoded, so there is no mean; failed: {reasons}; "
                f"{_most_frequent(tables)}see {failures_alone}"
            )
        total = ExactSum(DIMENSIONS)
        pieces = _pieces(tables, shards, in_shard, total, deduplicate)
        gather(pieces, count, embeddings, tables.folder)
        save_array(mean, total.mean())
        table = _faces(tables, embeddings, total.mean(), prefixed)
        write_parquet(parquet, _PARQUET, table, file_rows)
        if faces:
            write_table(faces, FACES, _rows_of(parquet))
        write_table(failures, FAILURES, tables.tuples(_FAILURES))
        encoded = tables.number("SELECT count(*) FROM photos SEMI JOIN faces USING (sha256)")
        failed = sum(by_reason.values())
        return Counts(
            photos=encoded + failed,
            encoded=encoded,
            failed=failed,
            faces=count,
            duplicates=tables.number(_COUNT_DUPLICATES),
            failed_by_reason=by_reason,
            faces_by_detector=dict(tables.rows(_COUNT_DETECTORS)),
        )


def _most_frequent(tables: Scratch) -> str:
    """Say what most photos fail for, and what to do where their format is not read."""
    ((reason, detail),) = tables.rows(_MOST_FREQUENT)
    remedy = ", convert these photos to JPEG" if reason == "unsupported" else ""
    return f"most often: {detail}{remedy}; " if reason in _OF_THE_FILE else ""


def _embeddings_of(shard: ShardFiles, rows: int) -> NDArray[np.float32]:
    embeddings: NDArray[np.float32] = np.load(shard.embeddings, allow_pickle=False)
    if embeddings.dtype != np.float32 or embeddings.shape != (rows, DIMENSIONS):
        raise AccountingError(
            f"{shard.embeddings}: {embeddings.dtype} {embeddings.shape} for {rows} rows of "
            f"{shard.outcomes}"
        )
    if not np.isfinite(embeddings).all():
        raise AccountingError(f"{shard.embeddings}: an embedding is not finite")
    return embeddings


def _pieces(
    tables: Scratch,
    shards: Sequence[ShardFiles],
    in_shard: NDArray[np.int64],
    total: ExactSum,
    deduplicate: bool,
) -> Iterator[Piece]:
    """Yield the embeddings of all shards with their positions; add them to `total`.

    Shard i has in_shard[i] embeddings. A face of several photos has several positions. With
    `deduplicate`, `total` gets the face once.
    """
    ends = np.cumsum(in_shard)
    batches = tables.batches("SELECT face, rowid AS position FROM sorted ORDER BY face", _ROWS)
    face = position = np.empty(0, np.int64)
    for shard, start, end in zip(shards, ends - in_shard, ends, strict=True):
        embeddings = _embeddings_of(shard, end - start)
        if deduplicate:
            total.add(embeddings)
        while True:
            if not len(face):
                batch = next(batches, None)
                if batch is None:
                    break
                face, position = (column.to_numpy() for column in batch.columns)
            here = int(np.searchsorted(face, end))
            if not here:
                break
            found = embeddings[face[:here] - start]
            if not deduplicate:
                total.add(found)
            yield position[:here], found
            face, position = face[here:], position[here:]


def _faces(
    tables: Scratch, embeddings: Path, mean: NDArray[np.float64], prefixed: bool
) -> Iterator[pa.Table]:
    """Yield the table FACES, some rows at a time."""
    vectors = np.load(embeddings, mmap_mode="r", allow_pickle=False)
    start = 0
    for batch in tables.batches("FROM sorted", _ROWS):
        stop = start + len(batch)
        names = [identity_of(path, prefixed=prefixed) for path in batch["path"].to_pylist()]
        columns = {name: batch[name] for name in batch.schema.names} | {
            "identity": pa.array(names),
            "distance": pa.array(distances(vectors[start:stop], mean).round(6)),
        }
        release(vectors)
        yield pa.table({name: columns[name] for name in FACES}).cast(_PARQUET)
        start = stop


def _rows_of(parquet: Path) -> Iterator[tuple[object, ...]]:
    for batch in read_batches(parquet, _ROWS):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
