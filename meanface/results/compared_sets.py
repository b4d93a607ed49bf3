"""Reads the results of two runs, and writes the table and the summary of their comparison."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.errors import UserError
from meanface.files.json_files import read_json
from meanface.files.parquet import read_frame
from meanface.files.schemas import CONTENTS
from meanface.files.tables import read_rows
from meanface.results.comparison import (
    LEVEL,
    PERMUTATIONS,
    discrepancy,
    distance_of_means,
    frechet_distance,
    person_means,
)
from meanface.results.statistics import Statistics, read_statistics

QUANTILES = 101
"""Quantiles of the permutations in the summary, from the smallest to the largest."""

_DECIMALS = 12  # equal sets differ by less


@dataclass(frozen=True)
class Results:
    """The results of a run that are compared.

    `identity` (n,) and `embeddings` float32 (n, d) have the faces that count in the mean. The
    `contents` are the sha256 of all photos.
    """

    photos: int
    fingerprint: str
    identity: "pd.Series[str]"
    embeddings: NDArray[np.float32]
    statistics: Statistics
    contents: set[bytes]

    @classmethod
    def read(cls, folder: Path, tables: Iterable[Path]) -> "Results":
        """Read the results in a folder. `tables` are its tables of contents (contents/*.csv)."""
        summary = read_json(folder / "summary.json")
        faces = read_frame(folder / "faces.parquet", ["identity", "duplicate_of"])
        embeddings = np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False)
        if summary["made_of"]["deduplicate"]:
            faces = faces[faces["duplicate_of"] == ""]
            embeddings = embeddings[faces.index]
        contents = {bytes.fromhex(sha256) for table in tables for sha256 in _contents(table)}
        return cls(
            summary["photos"],
            summary["fingerprint"],
            faces["identity"],
            embeddings,
            read_statistics(folder / "statistics.npz"),
            contents,
        )


def _contents(table: Path) -> Iterator[str]:
    with table.open(encoding="utf-8", newline="") as stream:
        yield from (sha256 for _, sha256 in read_rows(stream, CONTENTS))


def compare(first: Results, second: Results) -> tuple[list[tuple[object, ...]], dict[str, Any]]:
    """Compare two sets. Give the rows of the table COMPARISON, and the summary.

    A face in no folder is a person of its own. Raises UserError for sets of other engines, whose
    embeddings are not comparable, and for a set of fewer than two persons.
    """
    if first.fingerprint != second.fingerprint:
        raise UserError(
            "other: these results come from another engine (its settings or versions differ), so"
            " their embeddings are not comparable; run both with the same configuration"
        )
    persons, names = _persons(first.identity, second.identity)
    sides = first.embeddings, second.embeddings
    counts = [len(set(codes.tolist())) for codes in persons]
    if min(counts) < 2:
        raise UserError(
            f"compare needs two persons or more in each set; these results have {counts[0]},"
            f" `other` has {counts[1]}; put each person's photos into a folder of its own"
        )
    mmd = discrepancy(*sides, persons)
    distance = distance_of_means(person_means(*sides, persons))
    statistics = first.statistics, second.statistics
    frechet = frechet_distance(
        (statistics[0].mean, statistics[1].mean),
        (statistics[0].covariance, statistics[1].covariance),
    )
    shared = {
        "photos": [first.photos, second.photos],
        "persons": counts,
        "shared_persons": names,
        "shared_contents": len(first.contents & second.contents),
    }
    rows: list[tuple[object, ...]] = [
        ("distance_of_means", *map(_text, (distance.distance, distance.low, distance.high)), ""),
        ("frechet_distance", _text(frechet), "", "", ""),
        ("mmd", _text(mmd.squared), "", "", _text(mmd.p_value)),
        ("shared_persons", names, "", "", ""),
        ("shared_contents", shared["shared_contents"], "", "", ""),
    ]
    quantiles = np.quantile(mmd.permuted, np.linspace(0, 1, QUANTILES))
    summary = {
        **shared,
        "distance_of_means": {
            "distance": distance.distance,
            "low": distance.low,
            "high": distance.high,
            "level": LEVEL,
        },
        "frechet_distance": frechet,
        "mmd": {
            "squared": mmd.squared,
            "p_value": mmd.p_value,
            "permutations": PERMUTATIONS,
            "permuted_quantiles": quantiles.tolist(),
        },
    }
    return rows, _rounded(summary)


def _persons(
    first: "pd.Series[str]", second: "pd.Series[str]"
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], int]:
    """Number the persons of both sets together. Give also the number of names in both sets."""
    names = pd.concat([first, second], ignore_index=True)
    codes, found = pd.factorize(names.where(names != "", None))
    nobody = codes < 0
    codes[nobody] = len(found) + np.arange(nobody.sum())
    shared = (set(first) & set(second)) - {""}
    return (codes[: len(first)], codes[len(first) :]), len(shared)


def _text(value: float) -> str:
    # 0.0 more, because round() gives -0.0 for what is a little below zero.
    return "" if np.isnan(value) else f"{round(value, _DECIMALS) + 0.0:.6g}"


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    """Give the digits of all numbers that do not depend on the processor."""
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return None if np.isnan(value) else float(_text(value))
    return value
