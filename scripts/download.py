"""Download an archive from the first URL that has it, and verify its checksum."""

from pathlib import Path

from meanface.sources.checksum import Checksum
from meanface.sources.download import download
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    download(snakemake.params.urls, Path(snakemake.output[0]), Checksum(*snakemake.params.checksum))
