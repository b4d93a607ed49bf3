"""Compare the results with those of another run: a table as CSV, and a summary as JSON."""

import logging
from pathlib import Path

from meanface.files.json_files import write_json
from meanface.files.schemas import COMPARISON
from meanface.files.tables import write_table
from meanface.results.compared_sets import Results, compare
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    given = snakemake.input
    other = Path(given.other_summary).parent
    rows, summary = compare(
        Results.read(Path(given.summary).parent, map(Path, given.contents)),
        Results.read(other, other.glob("contents/*.csv")),
    )
    summary["other"] = str(other)
    write_table(Path(snakemake.output.table), COMPARISON, rows)
    write_json(Path(snakemake.output.summary), summary)
    distance, mmd = summary["distance_of_means"], summary["mmd"]
    told = (
        f"the means are {distance['distance']:.4f} apart ({distance['low']:.4f} to"
        f" {distance['high']:.4f}), MMD {mmd['squared']:.3g}, p = {mmd['p_value']:.4f} by person"
    )
    logging.info(told)
    print(f" compare  {told}")
