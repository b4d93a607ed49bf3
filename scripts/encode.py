"""Encode one shard: embeddings float32 (n, 128), tables of faces and failures, counts."""

import logging
import time
from pathlib import Path

from meanface.encode import Engine, encode_shard
from meanface.logs import log_to
from meanface.summary import write_json

with log_to(snakemake.log[0]):
    began = time.perf_counter()
    models = {Path(model).stem: Path(model) for model in snakemake.input.models}
    engine = Engine(snakemake.params.engine, models)
    counts = encode_shard(
        engine,
        snakemake.wildcards.shard,
        Path(snakemake.input.tar),
        Path(snakemake.input.manifest),
        batch=snakemake.config["batch"],
        threads=snakemake.threads,
        embeddings=Path(snakemake.output.embeddings),
        faces=Path(snakemake.output.faces),
        failures=Path(snakemake.output.failures),
    )
    seconds = round(time.perf_counter() - began, 3)
    logging.info("%s in %s seconds", counts, seconds)
    write_json(Path(snakemake.output.counts), counts | {"seconds": seconds})
