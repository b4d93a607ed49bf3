"""Export one of dlib's models."""

from pathlib import Path

from meanface.engine.export import export
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    export(snakemake.wildcards.model, Path(snakemake.output[0]))
