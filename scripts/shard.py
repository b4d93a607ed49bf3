"""Split the photos of a source, or of one part, into shards: tars with manifests."""

from pathlib import Path

from meanface.files.json_files import write_json
from meanface.shards.plan import write_contents
from meanface.shards.split import split, split_part
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    shards = [Path(tar) for tar in made.tars], [Path(manifest) for manifest in made.manifests]
    if given.part:
        part, manifest = (Path(file) for file in given.part)
        counts = split_part(part, manifest, *shards, parts=snakemake.params.parts)
    else:
        (photos,) = list(given.archive) + list(snakemake.params.folder)
        counts = split(
            Path(photos), *shards, prefix=snakemake.params.prefix, **snakemake.params.reading
        )
    write_contents(shards[1], Path(made.contents))
    write_json(Path(made.counts), counts)
