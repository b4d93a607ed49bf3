"""Divide the photos of a source into parts: tars with manifests, and counts of other files."""

from pathlib import Path

from meanface.files.json_files import write_json
from meanface.shards.split import split
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    (photos,) = list(snakemake.input.archive) + list(snakemake.params.folder)
    counts = split(
        Path(photos),
        [Path(tar) for tar in snakemake.output.tars],
        [Path(manifest) for manifest in snakemake.output.manifests],
        prefix=snakemake.params.prefix,
        **snakemake.params.reading,
    )
    write_json(Path(snakemake.output.counts), counts)
