"""Merge the shards into mean, embeddings, tables and summary."""

import logging
from dataclasses import asdict
from pathlib import Path

from meanface.acquire import file_digest
from meanface.engine import versions
from meanface.logs import log_to
from meanface.merge import ShardFiles, merge
from meanface.summary import read_json, write_json

with log_to(snakemake.log[0]):
    given, made = snakemake.input, snakemake.output
    counts = merge(
        [
            ShardFiles(*map(Path, files))
            for files in zip(
                given.manifests, given.embeddings, given.faces, given.failures, strict=True
            )
        ],
        mean=Path(made.mean),
        embeddings=Path(made.embeddings),
        faces=Path(made.faces),
        failures=Path(made.failures),
    )
    seconds = sum(read_json(Path(shard))["seconds"] for shard in given.counts)
    split = read_json(Path(given.split))
    summary = asdict(counts) | {
        "skipped": {kind: count for kind, count in split.items() if kind != "photos"},
        "encode_seconds": round(seconds, 3),
        "photos_per_second": round(counts.photos / seconds, 3),
        "fingerprint": snakemake.params.fingerprint,
        "source": read_json(Path(given.source)),
        "models": {Path(model).stem: file_digest(Path(model)) for model in given.models},
        "versions": versions(),
        "config": snakemake.params.config,
    }
    logging.info("%s", counts)
    write_json(Path(made.summary), summary)
