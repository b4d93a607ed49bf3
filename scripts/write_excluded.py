"""Write the receipt of `exclude`: a table of lines, and how many photos each line excluded."""

import logging
from pathlib import Path

from meanface.files.json_files import read_json
from meanface.shards.exclude import read_list, write_excluded
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    path = Path(snakemake.params.exclude[0])
    counts = [read_json(Path(count)) for count in snakemake.input.counts]
    unmatched = write_excluded(read_list(path), counts, Path(snakemake.output[0]))
    if unmatched:
        told = f"no photo matches line {', '.join(map(str, unmatched))} of {path}"
        logging.info(told)
        print(f"excluded  {told}")
