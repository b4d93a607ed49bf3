"""Encode one shard: embeddings, float32 (n, 128), a table of outcomes, and a report (JSON)."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from meanface.engine.gpu.isolate import encode_on_gpu
from meanface.engine.isolate import encode_isolated
from meanface.engine.outcome import Outcome
from meanface.errors import UserError
from meanface.files.digest import file_digest
from meanface.results.cache import Cache
from meanface.results.encode import encode_shard
from meanface.results.shard_report import ShardReport, write_report
from meanface.shards.manifest import Photo
from meanface.shards.plan import contents_of, name_of, outcome_key
from meanface.workflow.job import job
from meanface.workflow.logs import log_progress
from meanface.workflow.memory import process_bytes

with job(snakemake.log[0], snakemake.output):
    began = time.perf_counter()
    given, made = snakemake.input, snakemake.output
    params, resources = snakemake.params, snakemake.resources
    on_gpu = partial(encode_on_gpu, gpu_mb=resources.get("gpu_mb"))
    engine = partial(
        on_gpu if params.engine.needs_gpu else encode_isolated,
        params.engine,
        {Path(model).stem: Path(model) for model in given.models},
        seconds=params.seconds,
        memory=process_bytes(resources.mem_mb, snakemake.threads, params.engine.device),
        processes=snakemake.threads,
    )

    def encode(batches: Iterator[list[Photo]]) -> Iterator[Sequence[Outcome]]:
        return log_progress(engine(batches))

    # With --sdm conda, jobs have other versions than Snakemake itself, which made the key.
    fingerprint = params.engine.fingerprint()
    address = resources.get("cache")
    cache = Cache(address, fingerprint) if address else None
    planned = contents_of(Path(given.manifest), Path(given.duplicates))
    if snakemake.wildcards.key != outcome_key(snakemake.wildcards.key, name_of(planned)):
        raise UserError(f"{given.manifest} changed after the plan was made; run again")
    counts = encode_shard(
        encode,
        Path(given.tar),
        Path(given.manifest),
        planned,
        cache=cache,
        batch=resources.batch,
        embeddings=Path(made.embeddings),
        table=Path(made.outcomes),
    )
    report = ShardReport(
        **asdict(counts),
        seconds=round(time.perf_counter() - began, 3),
        run=os.environ["MEANFACE_RUN"],
        cache_trouble=cache.trouble if cache else None,
        # merge verifies these digests.
        sha256={name: file_digest(Path(made[name])) for name in ("embeddings", "outcomes")},
        fingerprint=fingerprint,
    )
    logging.info("%s", report)
    write_report(Path(made.counts), report)
