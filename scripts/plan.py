"""Plan which shard encodes which content: per shard a list of sha256, and its digest."""

import logging
from pathlib import Path

from meanface.logs import log_to
from meanface.plan import plan

with log_to(snakemake.log[0]):
    total = plan(
        [Path(manifest) for manifest in snakemake.input.manifests],
        [Path(contents) for contents in snakemake.output.contents],
        [Path(digest) for digest in snakemake.output.digests],
    )
    logging.info("%d different photos", total)
