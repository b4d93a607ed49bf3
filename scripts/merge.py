"""Merge the shards into mean, embeddings, tables and summary."""

import logging
import os
from pathlib import Path

from meanface.engine.settings import versions
from meanface.errors import UserError
from meanface.files.digest import file_digest
from meanface.files.json_files import read_json, write_json
from meanface.process import leave_out
from meanface.results.cache import Cache
from meanface.results.joined import ShardFiles
from meanface.results.merge import merge
from meanface.results.outcomes import read_contents
from meanface.results.shard_report import read_report
from meanface.results.summary import summarise
from meanface.shards.plan import name_of
from meanface.workflow.cleanup import remove_other_outcomes
from meanface.workflow.integrity import check_digest
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    leave_out("pandas")  # pyarrow would import it, to recognise its objects: half a second
    given, made = snakemake.input, snakemake.output
    fingerprint = snakemake.params.engine.fingerprint()  # of the versions that jobs have
    reports = [read_report(Path(report)) for report in given.counts]
    for file, report in zip(given.counts, reports, strict=True):
        if report.fingerprint != fingerprint:
            raise UserError(
                f"{file} is of an engine of other versions than merge has; delete it to encode anew"
            )
    for name in ("embeddings", "outcomes"):
        for file, report in zip(given[name], reports, strict=True):
            check_digest(Path(file), report.sha256[name])
    faces = Path(made.parquet).with_suffix(".csv")
    if not snakemake.params.made_of["faces_csv"]:
        faces.unlink(missing_ok=True)  # an earlier run's
    counts = merge(
        [
            ShardFiles(*map(Path, files))
            for files in zip(given.manifests, given.embeddings, given.outcomes, strict=True)
        ],
        deduplicate=snakemake.params.made_of["deduplicate"],
        prefixed=snakemake.params.made_of["prefixed"],
        mean=Path(made.mean),
        embeddings=Path(made.embeddings),
        faces=faces if snakemake.params.made_of["faces_csv"] else None,
        parquet=Path(made.parquet),
        file_rows=snakemake.params.made_of["file_rows"],
        failures=Path(made.failures),
        failures_alone=Path(snakemake.log.failures),
    )
    logging.info("%s", counts)
    cache_trouble = None
    if address := snakemake.resources.get("cache"):
        cache = Cache(address, fingerprint)
        encoded = read_contents([Path(table) for table in given.outcomes])
        shards = ((name_of(contents), contents) for contents in encoded)
        cache.tidy(shards, Path(made.summary))
        cache_trouble = cache.trouble
    numbers = summarise(
        counts,
        reports,
        [read_json(Path(source)) for source in given.skipped],
        run=os.environ["MEANFACE_RUN"],
        cache_trouble=cache_trouble,
    )
    made_of = {
        "fingerprint": fingerprint,
        "made_of": snakemake.params.made_of,
        "sources": {Path(source).stem: read_json(Path(source)) for source in given.sources},
        "models": {Path(model).stem: file_digest(Path(model)) for model in given.models},
        "versions": versions(),
        "config": snakemake.params.config,
    }
    write_json(Path(made.summary), numbers | made_of)
    remove_other_outcomes(Path(made.summary).parent, map(Path, given.counts))
