"""Encode all faces of the query photos: embeddings, float32 (n, 128), and a table of outcomes."""

import logging
from functools import partial
from pathlib import Path

from meanface.engine.isolate import encode_isolated
from meanface.results.encode import encode_shard
from meanface.shards.manifest import read_manifest
from meanface.workflow.job import job
from meanface.workflow.memory import process_bytes

with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    params, resources = snakemake.params, snakemake.resources
    engine = partial(
        encode_isolated,
        params.engine,
        {Path(model).stem: Path(model) for model in given.models},
        seconds=params.seconds,
        memory=process_bytes(resources.mem_mb, snakemake.threads, params.engine.device),
        processes=snakemake.threads,
    )
    photos = read_manifest(Path(given.manifest))
    counts = encode_shard(
        engine,
        Path(given.tar),
        Path(given.manifest),
        sorted({photo.sha256 for photo in photos} - {""}),
        cache=None,
        batch=resources.batch,
        embeddings=Path(made.embeddings),
        table=Path(made.outcomes),
    )
    logging.info("%s", counts)
