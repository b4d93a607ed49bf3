"""The numbers of a run, for summary.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from meanface.results.merge import Counts
from meanface.results.shard_report import ShardReport

_ENOUGH = 100


def summarise(
    counts: Counts,
    shards: Sequence[ShardReport],
    sources: Sequence[Mapping[str, int]],
    *,
    run: str,
    cache_trouble: str | None,
) -> dict[str, Any]:
    """Give the numbers of a run by their names in summary.json.

    `counts` come from merge, `shards` from the encode jobs, of this `run` and of earlier ones.
    `sources` has for each source the counts of split: its photos, and other files by kind.
    `cache_trouble` is what went wrong with the cache in merge, in a line.

    `newly_encoded` contents were encoded by this run, all others are `reused`. `photos_per_second`
    is the speed of one encode job, reading included, over all contents that any run encoded; None
    for fewer than 100, whose speed is that of starting the engine.
    """
    of_this_run = [shard for shard in shards if shard.run == run]
    newly_encoded = sum(shard.newly_encoded for shard in of_this_run)
    ever_encoded = sum(shard.newly_encoded for shard in shards)
    seconds = sum(shard.seconds_encoding for shard in shards)
    speed = round(ever_encoded / seconds, 3) if ever_encoded >= _ENOUGH and seconds else None
    troubles = [*(shard.cache_trouble for shard in of_this_run), cache_trouble]
    skipped: Counter[str] = Counter()
    for source in sources:
        skipped.update(source)
    del skipped["photos"]
    return asdict(counts) | {
        "run": run,
        "newly_encoded": newly_encoded,
        "reused": sum(shard.contents for shard in shards) - newly_encoded,
        "cache_trouble": next(filter(None, troubles), None),
        "skipped": dict(skipped),
        "encode_seconds": round(sum(shard.seconds for shard in shards), 3),
        "photos_per_second": speed,
    }
