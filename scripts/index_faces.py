"""Divide the embeddings into cells, for a quick search among many."""

from pathlib import Path

import numpy as np

from meanface.results.cells import cells_of
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    embeddings = np.load(snakemake.input.embeddings, mmap_mode="r", allow_pickle=False)
    cells_of(embeddings, threads=snakemake.threads).write(Path(snakemake.output.index))
