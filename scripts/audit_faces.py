"""Look for errors in the set: a table of the findings as CSV, their counts as JSON."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from meanface.errors import AccountingError
from meanface.files.json_files import write_json
from meanface.files.parquet import read_frame
from meanface.files.schemas import AUDIT
from meanface.files.tables import write_table
from meanface.report.near_duplicates import SAME, likenesses
from meanface.results.audit import Audit, Finding, Named
from meanface.results.made_of import made_of
from meanface.workflow.job import job


def rows_of(
    kinds: Mapping[str, Sequence[Finding]], faces: pd.DataFrame
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the table AUDIT."""
    path, number, identity = (faces[name].tolist() for name in ("path", "number", "identity"))
    for kind, findings in kinds.items():
        for rank, (row, other, distance, score) in enumerate(findings, 1):
            yield (
                *(kind, rank, path[row], number[row], identity[row]),
                *(path[other], number[other], identity[other]),
                *(round(distance, 6), round(score, 4)),
            )


def near_duplicates(found: Sequence[Finding], faces: pd.DataFrame) -> list[Finding]:
    """Give the findings whose pixels are alike, most alike first."""
    likeness = likenesses(
        faces,
        [(one.row, one.other) for one in found],
        {Path(tar).stem: Path(tar) for tar in snakemake.input.tars},
        snakemake.params.engine,
        {Path(model).stem: Path(model) for model in snakemake.input.models},
    )
    alike = [
        Finding(one.row, one.other, one.distance, score)
        for one, score in zip(found, likeness, strict=True)
        if score >= SAME
    ]
    return sorted(alike, key=lambda one: (-round(one.score, 4), one.row, one.other))


with job(snakemake.log[0], snakemake.output):
    given, made = snakemake.input, snakemake.output
    faces = read_frame(Path(given.faces))
    vectors = np.load(given.embeddings, mmap_mode="r", allow_pickle=False)
    if len(vectors) != len(faces):
        raise AccountingError(f"{given.embeddings}: {len(vectors)} rows for {len(faces)} faces")
    # In the order of the columns that the report hashes to compare.
    columns = (faces[name] for name in ("path", "identity", "duplicate_of"))
    origin = made_of(Path(given.embeddings), *columns)
    faces["number"] = faces.groupby("path").cumcount() + 1
    # An identical photo under two names is an error to find; under one name, only a copy.
    original = faces["duplicate_of"].where(faces["duplicate_of"] != "", faces["path"])
    is_first = ~faces.assign(path=original).duplicated(["path", "identity", "number"]).to_numpy()
    faces, vectors = faces[is_first].reset_index(drop=True), vectors[is_first]
    audit = Audit(
        Named.of(vectors, faces),
        same_person=snakemake.params.same_person,
        threads=snakemake.threads,
    )
    kinds = {"other_identity": audit.other_identity(), "one_person": audit.one_person()}
    if given.get("tars"):
        kinds["near_duplicate"] = near_duplicates(audit.perhaps_duplicates(), faces)
    kinds["two_in_photo"] = audit.two_in_photo()
    kinds["unlike_all"] = audit.unlike_all()
    write_table(Path(made.table), AUDIT, rows_of(kinds, faces))
    counts = {kind: len(findings) for kind, findings in kinds.items()}
    write_json(Path(made.summary), {"faces": len(faces), "findings": counts, "made_of": origin})
    told = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
    logging.info(told)
    print(f"   audit  {told}")
