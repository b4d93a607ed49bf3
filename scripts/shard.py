"""Split the photos of a source, or of one part, into shards: tars with manifests."""

from pathlib import Path

from meanface.files.json_files import write_json
from meanface.shards.plan import write_contents
from meanface.shards.split import split, split_part
from meanface.workflow.exclude import forget_contents, read_exclusion
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    shards = [Path(tar) for tar in made.tars], [Path(manifest) for manifest in made.manifests]
    if given.part:
        part, manifest = (Path(file) for file in given.part)
        counts = split_part(part, manifest, *shards, parts=snakemake.params.parts)
    else:
        (photos,) = list(given.archive) + list(snakemake.params.folder)
        prefix = snakemake.params.prefix
        exclusion = read_exclusion(snakemake.params.exclude, prefix)
        counts = split(
            Path(photos), *shards, prefix=prefix, exclusion=exclusion, **snakemake.params.reading
        )
        if exclusion:
            results = Path(made.contents).parents[1]
            forget_contents(exclusion, snakemake.resources.get("cache"), results)
            write_json(Path(made.excluded), exclusion.by_line)
    write_contents(shards[1], Path(made.contents))
    write_json(Path(made.counts), counts)
