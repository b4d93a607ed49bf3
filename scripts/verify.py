"""Compare all pairs of named photos: the error rates as CSV, and a summary as JSON."""

import logging
from pathlib import Path

import numpy as np

from meanface.files.json_files import read_json, write_json
from meanface.files.parquet import read_frame
from meanface.files.schemas import FAILURES, VERIFICATION
from meanface.files.tables import read_table, write_table
from meanface.results.all_pairs import named_photos, read_groups, verify_all
from meanface.results.made_of import made_of
from meanface.shards.manifest import identity_of
from meanface.wording import number_of
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    prefixed = read_json(Path(given.summary))["made_of"]["prefixed"]
    failed = read_table(Path(given.failures), FAILURES, ["path"])["path"].tolist()
    faces = read_frame(Path(given.faces), ["path", "identity", "duplicate_of"])
    photos = named_photos(
        faces,
        failed,
        [identity_of(path, prefixed=prefixed) for path in failed],
    )
    embeddings = np.load(given.embeddings, mmap_mode="r", allow_pickle=False)
    groups = read_groups(Path(given.groups[0]), photos) if given.groups else None
    rows, summary = verify_all(photos, embeddings, groups)
    write_table(Path(made.table), VERIFICATION, rows)
    # In the order of the columns that the report hashes to compare.
    columns = (faces[name] for name in ("path", "identity", "duplicate_of"))
    summary["made_of"] = made_of(Path(given.embeddings), *columns, failed)
    write_json(Path(made.summary), summary)
    told = [
        f"FNMR {100 * at['fnmr']:.2f} % at FMR {at['target']:g} (distance {at['threshold']:.4f})"
        for at in summary["at_fmr"]
        if at["fnmr"] is not None
    ]
    text = ", ".join(told) or "too few pairs of two persons for a false match rate of 0.001"
    logging.info(text)
    pairs = number_of(summary["mated_pairs"] + summary["nonmated_pairs"], "pair")
    print(f"  verify  {pairs}: {text}")
