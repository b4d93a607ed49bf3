"""Export the models of dlib that the engine needs."""

from pathlib import Path

from meanface.engine.export import export
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    for model in map(Path, snakemake.output):
        export(model.stem, model)
