"""Group the faces into persons: a table of the faces, and a report as JSON."""

import logging
from pathlib import Path

from meanface.results.person_tables import write_people
from meanface.wording import number_of
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    numbers = write_people(
        Path(given.embeddings),
        Path(given.faces),
        same_person=snakemake.params.same_person,
        threads=snakemake.threads,
        people=Path(made.people),
        report=Path(made.report),
    )
    told = f"{number_of(numbers['persons'], 'person')} in {number_of(numbers['faces'], 'face')}"
    logging.info(told)
    print(f"people  {told}")
