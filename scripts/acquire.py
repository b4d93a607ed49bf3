"""Verify a source and describe it as JSON: its name, bytes, sha256 and number of shards."""

from pathlib import Path

from meanface.files.json_files import write_json
from meanface.sources.acquire import describe
from meanface.sources.checksum import Checksum
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    (photos,) = list(snakemake.input.archive) + list(snakemake.params.folder)
    made_of = snakemake.params.made_of
    checksum = snakemake.params.checksum and Checksum(*snakemake.params.checksum)
    source = describe(Path(photos), checksum, made_of["reading"]["ignore"])
    record = source | {"shards": made_of["shards"], "made_of": made_of}
    write_json(Path(snakemake.output[0]), record)
