"""Plan which shard encodes which content: per shard a list of sha256, and its digest."""

import logging
from pathlib import Path

from meanface.job import job
from meanface.plan import plan

with job(snakemake.log[0], snakemake.output):
    total = plan(
        [Path(manifest) for manifest in snakemake.input.manifests],
        [Path(contents) for contents in snakemake.output.contents],
        [Path(digest) for digest in snakemake.output.digests],
    )
    logging.info("%d different photos", total)
