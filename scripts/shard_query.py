"""Read the photos of the query into one shard: a tar with its manifest."""

from pathlib import Path

from meanface.errors import UserError
from meanface.shards.split import split
from meanface.sources.state import state_of
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    made, reading = snakemake.output, snakemake.params.reading
    place, state = snakemake.params.query
    split(Path(place), [Path(made.tar)], [Path(made.manifest)], **reading)
    if state_of(Path(place), reading["ignore"]).text != state:
        raise UserError(f"query: {place} changed after the run began; run again")
