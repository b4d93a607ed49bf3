"""Compare the results with those of another run: a table as CSV, and a summary as JSON."""

import logging
from collections.abc import Iterable
from pathlib import Path

from meanface.errors import UserError
from meanface.files.json_files import write_json
from meanface.files.schemas import COMPARISON
from meanface.files.tables import write_table
from meanface.results.compared_sets import Results, compare
from meanface.workflow.integrity import check_digest, files_in
from meanface.workflow.job import job


def check_unaltered(other: Path, files: Iterable[Path]) -> None:
    """Raise UserError for files that were altered since the run in the folder `other` made them.

    A table that was sorted or edited no longer belongs to its embeddings. No file is checked where
    the records are missing.
    """
    records = [files_in(other / f"logs/{rule}.json") for rule in ("merge", "statistics")]
    made = {Path(file).name: sha256 for record in records for file, sha256 in record.items()}
    for file in files:
        if sha256 := made.get(file.name):
            try:
                check_digest(file, sha256)
            except UserError as error:
                raise UserError(f"other: {error}") from error


with job(snakemake.log[0], snakemake.output):
    given = snakemake.input
    other = Path(given.other_summary).parent
    check_unaltered(other, (Path(file) for file in given if Path(file).parent == other))
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
