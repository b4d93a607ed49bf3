"""Divide the photos of a source into parts: tars with manifests, and counts of other files."""

from pathlib import Path

from meanface.files.json_files import write_json
from meanface.shards.split import split
from meanface.workflow.exclude import forget_contents, read_exclusion
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    (photos,) = list(snakemake.input.archive) + list(snakemake.params.folder)
    prefix = snakemake.params.prefix
    exclusion = read_exclusion(snakemake.params.exclude, prefix)
    counts = split(
        Path(photos),
        [Path(tar) for tar in snakemake.output.tars],
        [Path(manifest) for manifest in snakemake.output.manifests],
        prefix=prefix,
        exclusion=exclusion,
        **snakemake.params.reading,
    )
    write_json(Path(snakemake.output.counts), counts)
    if exclusion:
        results = Path(snakemake.output.counts).parents[1]
        forget_contents(exclusion, snakemake.resources.get("cache"), results)
        write_json(Path(snakemake.output.excluded), exclusion.by_line)
