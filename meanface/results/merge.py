"""The merge stage: the outcomes of all shards become the tables, the embeddings and their mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from meanface.engine.outcome import DIMENSIONS
from meanface.errors import AccountingError, UserError
from meanface.files.arrays import release, save_array
from meanface.files.atomic import replacing
from meanface.files.schemas import FACES, FAILURES, MANIFEST
from meanface.files.tables import read_tables, rows_of, write_table
from meanface.results.accounting import check_accounts
from meanface.results.exact_sum import ExactSum
from meanface.results.outcomes import read_tables_of_outcomes
from meanface.results.statistics import distances
from meanface.shards.manifest import identity_of

_HELD = 1 << 14  # rows written before their pages are freed: each row touches a page of 4 KiB


@dataclass(frozen=True)
class ShardFiles:
    """The files of one shard: what the stages shard and encode wrote."""

    manifest: Path
    embeddings: Path
    outcomes: Path


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
    faces: Path,
    parquet: Path,
    failures: Path,
) -> Counts:
    """Merge the shards into `mean` (float64 (128,)), `embeddings` (float32 (n, 128)) and tables.

    Rows are sorted by path. Row i of `embeddings` belongs to row i of `faces`. `parquet` is a copy
    of `faces`. The mean is summed exactly, and so has the same bits for any number and order of
    shards. With `deduplicate`, each content counts once in the mean. `prefixed`: paths begin with
    the name of their source, which is no person.

    Raises AccountingError where a photo is lost or counted twice, and UserError where there is no
    embedding at all. Then no result is written.
    """
    photos = (
        read_tables([shard.manifest for shard in shards], MANIFEST).combine_chunks().to_pandas()
    )
    found, failed = read_tables_of_outcomes([shard.outcomes for shard in shards])
    unread = (photos["sha256"] == "").to_numpy()
    names = _number_contents(photos, found, failed)
    _check_outcomes(shards, photos, unread, found, failed, names)
    del names
    in_shard = np.bincount(found.pop("shard"), minlength=len(shards))
    stems = pd.array([shard.manifest.stem for shard in shards], dtype="str")
    photos["shard"] = stems.take(photos["shard"].to_numpy())
    duplicates = int(photos.loc[~unread, "content"].duplicated().sum())
    failure_table = _failures(photos, unread, failed)
    by_reason = _counts(failure_table["reason"])
    if found.empty:
        reasons = ", ".join(f"{reason} {count}" for reason, count in by_reason.items())
        raise UserError(f"no photo could be encoded, so there is no mean; failed: {reasons}")
    table = _faces(photos, found, prefixed)
    del photos, found
    rows = table.pop("row").to_numpy()
    total = _write_embeddings(embeddings, shards, in_shard, rows, deduplicate)
    save_array(mean, total.mean())
    merged = np.load(embeddings, mmap_mode="r", allow_pickle=False)
    table.insert(
        list(FACES).index("distance"), "distance", distances(merged, total.mean()).round(6)
    )
    write_table(faces, FACES, rows_of(table))
    with replacing(parquet) as part:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), part, compression="zstd")
    write_table(failures, FAILURES, rows_of(failure_table))
    encoded = table["path"].nunique()
    return Counts(
        photos=encoded + len(failure_table),
        encoded=encoded,
        failed=len(failure_table),
        faces=len(table),
        duplicates=duplicates,
        failed_by_reason=by_reason,
        faces_by_detector=_counts(table["detector"]),
    )


def _number_contents(*tables: pd.DataFrame) -> "pd.Index[str]":
    """Replace each `sha256` by a number, `content`. Give the sha256 of each number."""
    hashes = pd.concat([table.pop("sha256") for table in tables])
    numbers, unique = pd.factorize(hashes)
    names: pd.Index[str] = unique
    ends = np.cumsum([len(table) for table in tables])[:-1]
    for table, theirs in zip(tables, np.split(numbers, ends), strict=True):
        table["content"] = theirs
    return names


def _check_outcomes(
    shards: Sequence[ShardFiles],
    photos: pd.DataFrame,
    unread: NDArray[np.bool_],
    found: pd.DataFrame,
    failed: pd.DataFrame,
    names: "pd.Index[str]",
) -> None:
    """Check that every content has one outcome, in the first shard that holds the content."""
    if (twice := photos.loc[photos["path"].duplicated(), "path"]).size:
        raise AccountingError(f"{twice.iloc[0]!r} is in two shards")
    key = ["shard", "content"]
    expected = photos.loc[~unread, key].drop_duplicates("content")
    given = pd.concat([found[key].drop_duplicates(), failed[key]])
    if np.array_equal(expected.sort_values(key), given.sort_values(key)):
        return
    paths = dict(zip(names[photos["content"]], photos["path"], strict=True))
    for number, shard in enumerate(shards):
        planned, encoded, others = (
            names[table.loc[table["shard"] == number, "content"]]
            for table in (expected, found, failed)
        )
        check_accounts(
            str(shard.outcomes), planned, encoded, others, lambda one: paths.get(one, one)
        )


def _failures(
    photos: pd.DataFrame, unread: NDArray[np.bool_], failed: pd.DataFrame
) -> pd.DataFrame:
    size = photos["size"]
    detail = size[unread].map("{} bytes, more than max_bytes allows".format)
    why = "the file could not be read, see the log of its shard job; --forcerun acquire tries again"
    rows = [
        photos[~unread].merge(failed.drop(columns="shard"), on="content"),
        photos[unread & (size > 0)].assign(reason="too_large", detail=detail),
        photos[unread & (size == 0)].assign(reason="unreadable", detail=why),
    ]
    return pd.concat(rows)[list(FAILURES)].sort_values("path", kind="stable")


def _faces(photos: pd.DataFrame, found: pd.DataFrame, prefixed: bool) -> pd.DataFrame:
    """Give the table FACES without `distance`. `row` numbers the embeddings of all shards."""
    found["row"] = np.arange(len(found))
    table = photos.drop(columns="size").merge(found, on="content").sort_values(["path", "row"])
    path = table["path"]
    content = pd.factorize(table.pop("content"))[0]
    first_path = path.take(np.unique(content, return_index=True)[1][content])
    first_path.index = path.index
    table["duplicate_of"] = first_path.where(first_path != path, "")
    table["identity"] = path.map(partial(identity_of, prefixed=prefixed)).astype("str")
    return table[[name for name in FACES if name != "distance"] + ["row"]]


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


def _write_embeddings(
    target: Path,
    shards: Sequence[ShardFiles],
    in_shard: NDArray[np.int64],
    rows: NDArray[np.int64],
    deduplicate: bool,
) -> ExactSum:
    """Write the embeddings in the order of the table of faces; give their sum.

    Row i is row rows[i] of the embeddings of all shards. Shard i has in_shard[i] rows.
    """
    total = ExactSum(DIMENSIONS)
    position = np.argsort(rows, kind="stable")
    wanted = rows[position]
    with replacing(target) as part:
        merged = open_memmap(part, mode="w+", dtype=np.float32, shape=(len(rows), DIMENSIONS))
        start = held = 0
        to_add: list[NDArray[np.float32]] = []
        for number, shard in enumerate(shards):
            found = _embeddings_of(shard, in_shard[number])
            low, high = np.searchsorted(wanted, (start, start + len(found)))
            written = found[wanted[low:high] - start]
            merged[position[low:high]] = written
            to_add.append(found if deduplicate else written)
            start += len(found)
            held += len(found) + len(written)
            if held > _HELD or number + 1 == len(shards):
                total.add(np.concatenate(to_add))
                release(merged)
                to_add, held = [], 0
        merged.flush()
    return total


def _counts(column: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in column.value_counts().items()}
