"""Download the archive from the first of its URLs that serves it, verified."""

from pathlib import Path

from meanface.acquire import Checksum, download
from meanface.logs import log_to

with log_to(snakemake.log[0]):
    download(snakemake.params.urls, Path(snakemake.output[0]), Checksum(*snakemake.params.checksum))
