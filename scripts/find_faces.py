"""Search for the faces of the query photos: a table of the nearest as CSV, a summary as JSON."""

import logging
from pathlib import Path

from meanface.errors import UserError
from meanface.files.json_files import write_json
from meanface.files.schemas import FIND
from meanface.files.tables import write_table
from meanface.results.cells import Cells
from meanface.results.false_matches import FalseMatches
from meanface.results.find import Searched, find, read_query
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    query = read_query(Path(given.manifest), Path(given.query), Path(given.outcomes))
    failed = [f"{path}: {reason}, {detail}" for path, reason, detail in query.failed]
    if not query.path:
        raise UserError(f"query: no photo has a face that can be encoded; {'; '.join(failed[:3])}")
    people = Path(given.people[0]) if given.people else None
    searched = Searched.read(Path(given.embeddings), Path(given.faces), people)
    rates = FalseMatches.read(*map(Path, given.rates)) if given.rates else FalseMatches.measured()
    cells = Cells.read(Path(given.index))
    write_table(
        Path(made.table), FIND, find(query, searched, cells, rates, threads=snakemake.threads)
    )
    write_json(
        Path(made.summary),
        {
            "photos": len({*query.path}) + len(failed),
            "faces": len(query.path),
            "failed": [
                dict(zip(("path", "reason", "detail"), row, strict=True)) for row in query.failed
            ],
            "searched": len(searched.embeddings),
            "search": "index" if len(cells.centres) else "exact",
            "fmr_from": rates.source,
            "fmr_pairs": rates.pairs,
        },
    )
    told = f"{len(query.path):,} faces of the query among {len(searched.embeddings):,} faces"
    logging.info(told)
    print(f"    find  {told}", *(f"    find  {line}" for line in failed), sep="\n")
