"""Search for the faces of the query photos: a table of the nearest as CSV, a summary as JSON."""

import logging
from pathlib import Path

from meanface.errors import UserError
from meanface.files.json_files import write_json
from meanface.files.parquet import read_frame
from meanface.files.schemas import FAILURES, FIND
from meanface.files.tables import read_table, write_table
from meanface.report.beside import read_error_rates, read_persons
from meanface.results.cells import Cells
from meanface.results.false_matches import FalseMatches
from meanface.results.find import Searched, find, manifest_columns, read_query
from meanface.results.made_of import made_of
from meanface.wording import number_of
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    query = read_query(Path(given.manifest), Path(given.query), Path(given.outcomes))
    failed = [f"{path}: {reason}, {detail}" for path, reason, detail in query.failed]
    if not query.path:
        raise UserError(f"query: no photo has a face that can be encoded; {'; '.join(failed[:3])}")
    names = ["path", "identity", "duplicate_of"]
    embeddings, faces = Path(given.embeddings), read_frame(Path(given.faces), names)
    present = embeddings, faces, read_table(Path(given.failures), FAILURES)
    known, told = {}, []
    for target, read in (("people", read_persons), ("verify", read_error_rates)):
        files = [Path(file) for file in given.get(target) or snakemake.params.beside[target]]
        if files and read(files, *present):
            known[target] = files
        elif files:
            told.append(f"{files[0]} is of other faces and left out; `snakemake {target}` makes it")
    searched = Searched.read(embeddings, Path(given.faces), known.get("people", [None])[0])
    rates = FalseMatches.read(*known["verify"]) if "verify" in known else FalseMatches.measured()
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
            "made_of": made_of(
                embeddings,
                *(present[1][name] for name in ("path", "identity")),
                *manifest_columns(Path(given.manifest)),
            ),
        },
    )
    asked = number_of(len(query.path), "face of the query", "faces of the query")
    counted = f"{asked} among {number_of(len(searched.embeddings), 'face')}"
    logging.info(counted)
    print(*(f"    find  {line}" for line in (counted, *failed, *told)), sep="\n")
