"""Plan which shard encodes which photos: a table of the shards, and a table of duplicates."""

import logging
from pathlib import Path

from meanface.shards.plan import plan
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    total = plan(
        [Path(table) for table in snakemake.input],
        shards=Path(snakemake.output.shards),
        duplicates=Path(snakemake.output.duplicates),
    )
    logging.info("%d different photos", total)
