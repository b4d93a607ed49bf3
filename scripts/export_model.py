"""Export one of dlib's models."""

from pathlib import Path

from meanface.logs import log_to
from meanface.models import export

with log_to(snakemake.log[0]):
    export(snakemake.wildcards.model, Path(snakemake.output[0]))
