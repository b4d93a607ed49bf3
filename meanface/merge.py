"""The merge stage: the results of all shards become the tables, the embeddings and their mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from meanface.accounts import check_accounts
from meanface.encoder import DIMENSIONS
from meanface.errors import AccountingError, UserError
from meanface.files import replacing, save_array
from meanface.mean import ExactSum
from meanface.shards import read_manifest
from meanface.tables import FACES, FAILURES, read_table, write_table


@dataclass(frozen=True)
class ShardFiles:
    """What shard and encode wrote for one shard."""

    manifest: Path
    embeddings: Path
    faces: Path
    failures: Path


@dataclass(frozen=True)
class Counts:
    """What a run came to; `photos` is the sum of `encoded` and `failed`."""

    photos: int
    encoded: int
    failed: int
    faces: int
    failed_by_reason: dict[str, int]
    faces_by_detector: dict[str, int]


def merge(
    shards: Sequence[ShardFiles], *, mean: Path, embeddings: Path, faces: Path, failures: Path
) -> Counts:
    """Merge the shards into `mean` (float64 (128,)), `embeddings` (float32 (n, 128)) and tables.

    Rows are sorted by path; row i of `embeddings` belongs to row i of `faces`. The mean is summed
    exactly, so that it is the same to the last bit for any number and order of shards.

    Raises AccountingError where a photo is lost or counted twice, UserError where there is no
    embedding at all; then no result is written.
    """
    face_tables, failure_tables = zip(*(_checked_tables(shard) for shard in shards), strict=True)
    _check_once([*face_tables, *failure_tables])
    face_table = pd.concat(face_tables, ignore_index=True)
    failure_table = pd.concat(failure_tables, ignore_index=True).sort_values("path", kind="stable")
    by_reason = _counts(failure_table["reason"])
    if face_table.empty:
        reasons = ", ".join(f"{reason} {count}" for reason, count in by_reason.items())
        raise UserError(f"no photo could be encoded, so there is no mean; failed: {reasons}")
    order = face_table["path"].argsort(kind="stable").to_numpy()
    total = _write_embeddings(embeddings, shards, order)
    save_array(mean, total.mean())
    write_table(faces, FACES, _rows(face_table.iloc[order]))
    write_table(failures, FAILURES, _rows(failure_table))
    encoded = face_table["path"].nunique()
    return Counts(
        photos=encoded + len(failure_table),
        encoded=encoded,
        failed=len(failure_table),
        faces=len(face_table),
        failed_by_reason=by_reason,
        faces_by_detector=_counts(face_table["detector"]),
    )


def _checked_tables(shard: ShardFiles) -> tuple[pd.DataFrame, pd.DataFrame]:
    faces, failures = read_table(shard.faces), read_table(shard.failures)
    photos = [entry.path for entry in read_manifest(shard.manifest)]
    check_accounts(str(shard.faces), photos, faces["path"], failures["path"])
    embeddings = _embeddings_of(shard)
    if embeddings.dtype != np.float32 or embeddings.shape != (len(faces), DIMENSIONS):
        raise AccountingError(
            f"{shard.embeddings}: {embeddings.dtype} {embeddings.shape} for {len(faces)} rows of "
            f"{shard.faces}"
        )
    if not np.isfinite(embeddings).all():
        raise AccountingError(f"{shard.embeddings}: an embedding is not finite")
    return faces, failures


def _check_once(tables: Sequence[pd.DataFrame]) -> None:
    """Check that no photo is in two tables; a table names a photo once for each of its faces."""
    paths = pd.concat([table["path"].drop_duplicates() for table in tables], ignore_index=True)
    if twice := paths[paths.duplicated()].tolist():
        raise AccountingError(f"{twice[0]!r} is in two shards")


def _embeddings_of(shard: ShardFiles) -> NDArray[np.float32]:
    embeddings: NDArray[np.float32] = np.load(shard.embeddings, mmap_mode="r", allow_pickle=False)
    return embeddings


def _write_embeddings(
    target: Path, shards: Sequence[ShardFiles], order: NDArray[np.int64]
) -> ExactSum:
    """Write the embeddings, row order[i] of the shards' as row i; give their sum."""
    total = ExactSum(DIMENSIONS)
    position = np.argsort(order)
    with replacing(target) as part:
        merged = open_memmap(part, mode="w+", dtype=np.float32, shape=(len(order), DIMENSIONS))
        start = 0
        for shard in shards:
            rows = _embeddings_of(shard)
            merged[position[start : start + len(rows)]] = rows
            total.add(rows)
            start += len(rows)
        merged.flush()
    return total


def _counts(column: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in column.value_counts().items()}


def _rows(table: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    return table.itertuples(index=False, name=None)
