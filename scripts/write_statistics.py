"""Write the statistics of the embeddings, and the mean of each person."""

# Not statistics.py: this folder comes first in sys.path, before Python's module of that name.
import logging
from pathlib import Path

from meanface.process import leave_out
from meanface.results.statistics import write_statistics
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    leave_out("pandas")  # pyarrow would import it, to recognise its objects: half a second
    given, made = snakemake.input, snakemake.output
    faces, persons = write_statistics(
        Path(given.embeddings),
        Path(given.faces),
        Path(given.mean),
        deduplicate=snakemake.params.deduplicate,
        statistics=Path(made.statistics),
        identities=Path(made.identities),
        identity_means=Path(made.identity_means),
        mean_by_identity=Path(made.mean_by_identity),
    )
    logging.info("%d embeddings of %d identities", faces, persons)
