"""Verify the photos' archive and describe the source: name, bytes and sha256 (JSON)."""

from pathlib import Path

from meanface.acquire import describe
from meanface.logs import log_to
from meanface.summary import write_json

with log_to(snakemake.log[0]):
    (photos,) = [*snakemake.input.archive, *snakemake.params.folder]
    write_json(Path(snakemake.output[0]), describe(Path(photos), snakemake.params.checksum))
