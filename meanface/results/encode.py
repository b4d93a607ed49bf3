"""The encode stage: the photos planned for a shard become embeddings and a table of outcomes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

from meanface.engine.outcome import Failure, Outcome
from meanface.results.accounting import check_accounts
from meanface.results.cache import Cache
from meanface.results.outcomes import write_outcomes
from meanface.results.shard_report import ShardCounts
from meanface.shards.manifest import Photo
from meanface.shards.plan import name_of
from meanface.shards.read import read_shard

Encode: TypeAlias = Callable[[Iterator[list[Photo]]], Iterable[Sequence[Outcome]]]
"""Gives the outcomes of batches of photos, in order."""


def encode_shard(
    encode: Encode,
    tar: Path,
    manifest: Path,
    planned: Sequence[str],
    *,
    cache: Cache | None,
    batch: int,
    embeddings: Path,
    table: Path,
) -> ShardCounts:
    """Encode the planned contents of a shard, `batch` photos at a time; write the two results.

    `planned` is from plan.contents_of. write_outcomes describes the results, `embeddings` and
    `table`. Outcomes in the cache are reused.

    Raises AccountingError where the shard is damaged, or a content has no outcome.
    """
    name = name_of(planned)
    known = cache.recall(name, planned) if cache else {}
    new = set(planned) - known.keys()
    began = perf_counter()
    outcomes = known | _encoded(encode, read_shard(tar, manifest), new, batch)
    seconds = perf_counter() - began
    check_accounts(str(manifest), planned, outcomes, ())
    in_order = {sha256: outcomes[sha256] for sha256 in planned}
    write_outcomes(in_order, embeddings, table)
    if cache and planned:
        cache.keep(name, embeddings, table)
    failed = sum(isinstance(outcome, Failure) for outcome in in_order.values())
    return ShardCounts(
        contents=len(planned),
        encoded=len(planned) - failed,
        failed=failed,
        faces=sum(len(one) for one in in_order.values() if not isinstance(one, Failure)),
        reused=len(planned) - len(new),
        newly_encoded=len(new),
        seconds_encoding=round(seconds, 6),
    )


def _encoded(
    encode: Encode, photos: Iterable[Photo], wanted: set[str], batch: int
) -> dict[str, Outcome]:
    """Encode each wanted content once. Where none is wanted, no photo is read."""
    contents: list[str] = []

    def batches() -> Iterator[list[Photo]]:
        new = _once(photos, wanted)
        while together := list(islice(new, batch)):
            contents.extend(photo.sha256 for photo in together)
            yield together

    if not wanted:
        return {}
    outcomes = [outcome for results in encode(batches()) for outcome in results]
    return dict(zip(contents, outcomes, strict=True))


def _once(photos: Iterable[Photo], wanted: set[str]) -> Iterator[Photo]:
    remaining = set(wanted)
    for photo in photos:
        if photo.sha256 in remaining:
            remaining.remove(photo.sha256)
            yield photo
