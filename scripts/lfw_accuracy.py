"""Score the pairs of a pairs.txt: the accuracy as JSON, the ROC curve as CSV."""

import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np

from meanface.files.json_files import write_json
from meanface.files.parquet import read_frame
from meanface.files.schemas import FAILURES, ROC
from meanface.files.tables import read_table, write_table
from meanface.results.verification import pair_distances, read_pairs, roc_curve, verify
from meanface.wording import number_of
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    pairs = read_pairs(Path(snakemake.input.pairs))
    distances = pair_distances(
        pairs,
        photos=read_frame(Path(snakemake.input.faces), ["path"])["path"].tolist(),
        failed=read_table(Path(snakemake.input.failures), FAILURES, ["path"])["path"].tolist(),
        embeddings=np.load(snakemake.input.embeddings, mmap_mode="r"),
    )
    result = verify(pairs, distances)
    roc = roc_curve(np.array([pair.same for pair in pairs]), distances)

    write_table(
        Path(snakemake.output.roc),
        ROC,
        zip(roc.threshold, roc.false_positive_rate, roc.true_positive_rate, strict=True),
    )
    write_json(Path(snakemake.output.accuracy), asdict(result))
    unscored = number_of(result.unscored, "pair")
    told = (
        f"{100 * result.accuracy:.2f} % of {number_of(result.pairs, 'pair')} called rightly,"
        f" standard error {100 * result.standard_error:.2f} %, {unscored} unscored, area"
        f" under the ROC curve {result.auc:.4f}"
    )
    logging.info(told)
    print(f"accuracy  {told}")
