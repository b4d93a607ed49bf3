"""Write the report: one page with the results of a run."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from meanface.files.json_files import read_json
from meanface.files.parquet import Columns
from meanface.files.schemas import FAILURES, IDENTITIES, ROC
from meanface.files.tables import read_table
from meanface.report.beside import read_audit, read_error_rates, read_found, read_persons
from meanface.report.drawn_faces import read_faces
from meanface.report.page import NO_PICTURES, photos_named, pictures_of, sections_of, write_page
from meanface.report.photos_sections import PEOPLE
from meanface.report.results import Names, Results
from meanface.results.shard_report import read_report
from meanface.results.statistics import read_statistics
from meanface.workflow.job import job

READERS = {
    "people": read_persons,
    "verify": read_error_rates,
    "audit": read_audit,
    "find": read_found,
}

with job(snakemake.log[0], snakemake.output):
    given, params = snakemake.input, snakemake.params
    reports = [
        (Path(file).name.partition(".")[0], read_report(Path(file))) for file in given.counts
    ]
    accuracy = None
    if roc := given.get("roc"):
        accuracy = read_json(Path(given.accuracy)), read_table(Path(roc), ROC)
    embeddings = Path(given.embeddings)
    columns = Columns(Path(given.faces))
    summary = read_json(Path(given.summary))
    identities = read_table(Path(given.identities), IDENTITIES)
    failures = read_table(Path(given.failures), FAILURES)
    beside, files_of = {}, {}
    for target, read in READERS.items():
        if files := [Path(file) for file in given.get(target) or params.beside[target]]:
            files_of[target] = files
            beside[target] = read(files, embeddings, columns, failures)
            if beside[target] is None:
                told = f"{files[0]} is of other faces and left out; `snakemake {target}` makes it"
                logging.warning(told)
                print(f"  report  {told}")
    faces, drawn = read_faces(
        Path(given.faces),
        summary["faces"],
        largest=Names(identities, paths=True).people[:PEOPLE],
        named=photos_named(beside.get("people"), beside.get("audit"), beside.get("find")),
        beside=Path(snakemake.output.page),
    )
    results = Results(
        summary=summary,
        faces=faces,
        failures=failures,
        identities=identities,
        embeddings=np.load(embeddings, mmap_mode="r", allow_pickle=False),
        identity_means=np.load(given.identity_means, mmap_mode="r", allow_pickle=False),
        statistics=read_statistics(Path(given.statistics)),
        jobs=pd.DataFrame(
            [(shard, one.newly_encoded, one.seconds_encoding) for shard, one in reports],
            columns=["shard", "photos", "seconds"],
        ),
        accuracy=accuracy,
        persons=beside.get("people"),
        error_rates=beside.get("verify"),
        audit=beside.get("audit"),
        found=beside.get("find"),
        deduplicate=params.deduplicate,
        paths=params.paths,
        drawn=drawn,
    )
    sections = sections_of(results)
    pictures = NO_PICTURES
    if given.get("tars"):
        # The report shows the query's faces as well, if their photos are there.
        query = [file for file in files_of.get("find", ()) if file.suffix == ".tar"]
        tars = {tar.stem: tar for tar in [*map(Path, given.tars), *query]}
        models = {Path(model).stem: Path(model) for model in given.models}
        pictures = pictures_of(results, sections, tars, params.engine, models)
    write_page(Path(snakemake.output.page), results, sections, pictures)
