"""Merge the shards into mean, embeddings, tables and summary."""

import logging
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from meanface.engine.settings import versions
from meanface.files.digest import file_digest
from meanface.files.json_files import read_json, write_json
from meanface.results.cache import Cache
from meanface.results.merge import ShardFiles, merge
from meanface.shards.plan import contents_by_shard, name_of
from meanface.workflow.cleanup import remove_other_outcomes
from meanface.workflow.integrity import check_digest
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    fingerprint = snakemake.params.engine.fingerprint()  # of the versions here, where jobs run
    encoded = [read_json(Path(shard)) for shard in given.counts]
    for name in ("embeddings", "outcomes"):
        for file, shard in zip(given[name], encoded, strict=True):
            check_digest(Path(file), shard["sha256"][name])
    counts = merge(
        [
            ShardFiles(*map(Path, files))
            for files in zip(given.manifests, given.embeddings, given.outcomes, strict=True)
        ],
        deduplicate=snakemake.params.made_of["deduplicate"],
        mean=Path(made.mean),
        embeddings=Path(made.embeddings),
        faces=Path(made.faces),
        parquet=Path(made.parquet),
        failures=Path(made.failures),
    )
    contents = sum(shard["contents"] for shard in encoded)
    run = os.environ["MEANFACE_RUN"]
    of_this_run = [shard for shard in encoded if shard["run"] == run]
    new = sum(shard["newly_encoded"] for shard in of_this_run)
    troubles = [shard["cache_trouble"] for shard in of_this_run]
    if address := snakemake.resources.get("cache"):
        cache = Cache(address, fingerprint)
        planned = contents_by_shard([Path(table) for table in given.contents])
        cache.tidy({name_of(contents): contents for contents in planned})
        troubles.append(cache.trouble)
    seconds = sum(shard["seconds"] for shard in encoded)
    # Without what the cache gave, and the time that this took.
    worked = sum(shard["newly_encoded"] for shard in encoded)
    speed = worked and worked / sum(shard["seconds_encoding"] for shard in encoded)
    skipped = Counter()
    for counts_of_source in given.skipped:
        skipped.update(read_json(Path(counts_of_source)))
    del skipped["photos"]
    summary = asdict(counts) | {
        "run": run,
        "newly_encoded": new,
        "reused": contents - new,
        "cache_trouble": next(filter(None, troubles), None),
        "skipped": skipped,
        "encode_seconds": round(seconds, 3),
        "photos_per_second": round(speed, 3) or None,
        "fingerprint": fingerprint,
        "made_of": snakemake.params.made_of,
        "sources": {Path(source).stem: read_json(Path(source)) for source in given.sources},
        "models": {Path(model).stem: file_digest(Path(model)) for model in given.models},
        "versions": versions(),
        "config": snakemake.params.config,
    }
    logging.info("%s", counts)
    write_json(Path(made.summary), summary)
    remove_other_outcomes(Path(made.summary).parent, map(Path, given.counts))
