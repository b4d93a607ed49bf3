"""The merge stage: the outcomes of all shards become the tables, the embeddings and their mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from meanface import outcomes
from meanface.accounts import check_accounts
from meanface.errors import AccountingError, UserError
from meanface.files import replacing, save_array
from meanface.mean import ExactSum
from meanface.outcomes import DIMENSIONS
from meanface.shards import MANIFEST
from meanface.statistics import distances
from meanface.tables import FACES, FAILURES, identity_of, read_tables, write_table


@dataclass(frozen=True)
class ShardFiles:
    """What shard and encode wrote for one shard."""

    manifest: Path
    embeddings: Path
    faces: Path
    failures: Path


@dataclass(frozen=True)
class Counts:
    """What a run came to; `photos` is the sum of `encoded` and `failed`.

    `duplicates` are photos whose content another photo has as well, all but the first of each.
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
    mean: Path,
    embeddings: Path,
    faces: Path,
    parquet: Path,
    failures: Path,
) -> Counts:
    """Merge the shards into `mean` (float64 (128,)), `embeddings` (float32 (n, 128)) and tables.

    Rows are sorted by path; row i of `embeddings` belongs to row i of `faces`, of which `parquet`
    is a copy. The mean is summed exactly, so that it is the same to the last bit for any number and
    order of shards; with `deduplicate` each content counts once in it, whatever its photos.

    Raises AccountingError where a photo is lost or counted twice, UserError where there is no
    embedding at all; then no result is written.
    """
    photos = read_tables([shard.manifest for shard in shards], MANIFEST)
    found = read_tables([shard.faces for shard in shards], outcomes.FACES)
    failed = read_tables([shard.failures for shard in shards], outcomes.FAILURES)
    _check_outcomes(shards, photos, found, failed)
    _check_embeddings(shards, found)
    photos["shard"] = np.array([shard.manifest.stem for shard in shards])[photos["shard"]]
    failure_table = _failures(photos, failed)
    by_reason = _counts(failure_table["reason"])
    if found.empty:
        reasons = ", ".join(f"{reason} {count}" for reason, count in by_reason.items())
        raise UserError(f"no photo could be encoded, so there is no mean; failed: {reasons}")
    table = _faces(photos, found)
    total = _write_embeddings(embeddings, shards, table.pop("row").to_numpy(), deduplicate)
    save_array(mean, total.mean())
    rows = np.load(embeddings, mmap_mode="r", allow_pickle=False)
    table.insert(len(FACES) - 2, "distance", distances(rows, total.mean()).round(6))
    write_table(faces, FACES, table.itertuples(index=False, name=None))
    with replacing(parquet) as part:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), part, compression="zstd")
    write_table(failures, FAILURES, failure_table.itertuples(index=False, name=None))
    encoded = table["path"].nunique()
    return Counts(
        photos=encoded + len(failure_table),
        encoded=encoded,
        failed=len(failure_table),
        faces=len(table),
        duplicates=int(photos.loc[photos["sha256"] != "", "sha256"].duplicated().sum()),
        failed_by_reason=by_reason,
        faces_by_detector=_counts(table["detector"]),
    )


def _check_outcomes(
    shards: Sequence[ShardFiles], photos: pd.DataFrame, found: pd.DataFrame, failed: pd.DataFrame
) -> None:
    """Check that every content has one outcome, from the first shard that has such a photo."""
    if (twice := photos.loc[photos["path"].duplicated(), "path"]).size:
        raise AccountingError(f"{twice.iloc[0]!r} is in two shards")
    key = ["shard", "sha256"]
    expected = photos[photos["sha256"] != ""].drop_duplicates("sha256")[key]
    given = pd.concat([found[key].drop_duplicates(), failed[key]])
    if expected.sort_values(key).to_numpy().tolist() == given.sort_values(key).to_numpy().tolist():
        return
    names = dict(zip(photos["sha256"], photos["path"], strict=True))
    for number, shard in enumerate(shards):
        planned, encoded, others = (
            table.loc[table["shard"] == number, "sha256"] for table in (expected, found, failed)
        )
        check_accounts(str(shard.faces), planned, encoded, others, lambda one: names.get(one, one))


def _check_embeddings(shards: Sequence[ShardFiles], found: pd.DataFrame) -> None:
    in_shard = np.bincount(found["shard"], minlength=len(shards))
    for shard, rows in zip(shards, in_shard, strict=True):
        embeddings = _embeddings_of(shard)
        if embeddings.dtype != np.float32 or embeddings.shape != (rows, DIMENSIONS):
            raise AccountingError(
                f"{shard.embeddings}: {embeddings.dtype} {embeddings.shape} for {rows} rows of "
                f"{shard.faces}"
            )
        if not np.isfinite(embeddings).all():
            raise AccountingError(f"{shard.embeddings}: an embedding is not finite")


def _failures(photos: pd.DataFrame, failed: pd.DataFrame) -> pd.DataFrame:
    unread = photos[photos["sha256"] == ""]
    detail = unread["size"].map("{} bytes, more than max_bytes allows".format)
    rows = [
        photos.merge(failed.drop(columns="shard"), on="sha256"),
        unread.assign(reason="too_large", detail=detail),
    ]
    return pd.concat(rows)[list(FAILURES)].sort_values("path", kind="stable")


def _faces(photos: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """The table of faces, but for the distance, with `row`, that of its embedding in the shards."""
    found = found.drop(columns="shard").assign(row=np.arange(len(found)))
    table = photos.merge(found, on="sha256").sort_values(["path", "row"])
    path = table["path"].to_numpy()
    content = pd.factorize(table["sha256"])[0]
    first_path = path[np.unique(content, return_index=True)[1]][content]
    table["duplicate_of"] = np.where(first_path == path, "", first_path)
    table["identity"] = [identity_of(one) for one in path]
    return table[[name for name in FACES if name != "distance"] + ["row"]]


def _embeddings_of(shard: ShardFiles) -> NDArray[np.float32]:
    embeddings: NDArray[np.float32] = np.load(shard.embeddings, mmap_mode="r", allow_pickle=False)
    return embeddings


def _write_embeddings(
    target: Path, shards: Sequence[ShardFiles], rows: NDArray[np.int64], deduplicate: bool
) -> ExactSum:
    """Write the embeddings, row rows[i] of the shards' as row i; give their sum."""
    total = ExactSum(DIMENSIONS)
    position = np.argsort(rows, kind="stable")
    wanted = rows[position]
    with replacing(target) as part:
        merged = open_memmap(part, mode="w+", dtype=np.float32, shape=(len(rows), DIMENSIONS))
        start = 0
        for shard in shards:
            found = _embeddings_of(shard)
            low, high = np.searchsorted(wanted, (start, start + len(found)))
            written = found[wanted[low:high] - start]
            merged[position[low:high]] = written
            total.add(found if deduplicate else written)
            start += len(found)
        merged.flush()
    return total


def _counts(column: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in column.value_counts().items()}
