"""Verification with all pairs of named photos: error rates for everyone, and for groups."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.errors import UserError
from meanface.results.error_rates import LEVEL, REPLICATES, TARGETS, ErrorRates, rate_with_interval
from meanface.results.pair_counts import count_pairs
from meanface.wording import number_of

FAILED, COPY = -1, -2
"""Values of Photos.row for photos without a row of their own."""


@dataclass(frozen=True)
class Photos:
    """The photos of named persons, sorted by path.

    `path` and `identity` (n,) have all photos. `row` (n,) is the row of a photo's embedding, FAILED
    for a photo that failed, COPY for a copy of an encoded photo. A copy makes no pairs, because
    one of them would be a photo with itself.
    """

    path: "pd.Series[str]"
    identity: "pd.Series[str]"
    row: NDArray[np.intp]

    def only(self, chosen: NDArray[np.bool_]) -> "Photos":
        """Give some of the photos."""
        return Photos(self.path[chosen], self.identity[chosen], self.row[chosen])


def named_photos(faces: pd.DataFrame, failed: Sequence[str], identities: Sequence[str]) -> Photos:
    """Give the photos of named persons.

    `faces` has the columns path, identity and duplicate_of of faces.csv. `identities` are those of
    the `failed` paths.

    Raises UserError where a photo has several faces, since its name is that of one person, and
    where there are fewer than two names.
    """
    if faces["path"].duplicated().any():
        raise UserError("face: verify needs one face per photo, such as --config face=central")
    is_first = (faces["duplicate_of"] == "").to_numpy()
    path = pd.concat([faces["path"], pd.Series(failed, dtype="str")])
    identity = pd.concat([faces["identity"], pd.Series(identities, dtype="str")])
    row = np.where(is_first, np.arange(len(faces)), COPY)
    row = np.concatenate([row, np.full(len(failed), FAILED)])
    photos = Photos(path, identity, row).only((identity != "").to_numpy())
    if photos.identity[photos.row >= 0].nunique() < 2:
        raise UserError(
            "verify needs photos of two named persons or more: the name of a photo's folder is the"
            " name of its person"
        )
    return photos


def read_groups(path: Path, photos: Photos) -> "pd.Series[str]":
    """Give the group of each photo, "" where the file names none.

    The file is a CSV table with the columns `path` and `group`, or `identity` and `group`. Raises
    UserError for any other file, for a path or identity with two groups, and for one that is in no
    photo: a typing error would leave photos out in silence.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype=str, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"config: groups: {path} cannot be read: {reason}") from error
    keys = [name for name in ("path", "identity") if name in table]
    if len(keys) != 1 or "group" not in table:
        raise UserError(
            f"config: groups: {path} has the columns {', '.join(map(str, table))};"
            " write path,group or identity,group in its first line"
        )
    (key,) = keys
    if key == "identity":
        table[key] = table[key].map(partial(normalize, "NFC"))  # as identity_of gives it
    table = table.drop_duplicates([key, "group"])
    if (twice := table.loc[table[key].duplicated(), key]).size:
        raise UserError(f"config: groups: {path} gives {twice.iloc[0]} two groups")
    names = getattr(photos, key)
    if (unknown := table.loc[~table[key].isin(names), key]).size:
        raise UserError(
            f"config: groups: {path} names {unknown.iloc[0]!r}, which is the {key} of no"
            f" photo with a name ({number_of(len(unknown), 'such row')})"
        )
    group = dict(zip(table[key], table["group"], strict=True))
    return pd.Series([group.get(name, "") for name in names], names.index, dtype="str")


def verify_all(
    photos: Photos, embeddings: NDArray[np.float32], groups: "pd.Series[str] | None"
) -> tuple[list[tuple[object, ...]], dict[str, Any]]:
    """Compare all pairs of photos. Give the rows of the table VERIFICATION, and the summary.

    A group has the pairs of its own photos only, and its rates also at the thresholds of everyone.
    """
    rates, summary = _measure(photos, embeddings)
    rows = list(_rows("", rates))
    thresholds = {at["target"]: at["threshold"] for at in summary["at_fmr"] if at["threshold"]}
    summary["groups"] = {}
    of_photo = np.array([] if groups is None else groups.tolist(), dtype=np.str_)
    for name in sorted({*of_photo.tolist()} - {""}):
        of_group, found = _measure(photos.only(of_photo == name), embeddings)
        rows += _rows(name, of_group)
        found["at_threshold_of_everyone"] = [
            {"target": target, **of_group.at_threshold(threshold)}
            for target, threshold in thresholds.items()
        ]
        summary["groups"][name] = found
    return rows, {**summary, "interval": LEVEL, "replicates": REPLICATES}


def _measure(photos: Photos, embeddings: NDArray[np.float32]) -> tuple[ErrorRates, dict[str, Any]]:
    persons, names = pd.factorize(photos.identity)
    failed = np.bincount(persons[photos.row == FAILED], minlength=len(names))
    enrolled = photos.only(photos.row >= 0)
    codes = pd.factorize(enrolled.identity)[0]
    rates = ErrorRates(count_pairs(embeddings[enrolled.row], codes))
    rate, low, high = rate_with_interval(failed, np.bincount(persons))
    return rates, {
        "photos": len(photos.path),
        "failed": int(failed.sum()),
        "failure_to_enrol_rate": {"rate": rate, "low": low, "high": high},
        "persons": len(names),
        "mated_pairs": rates.mated,
        "nonmated_pairs": rates.nonmated,
        "equal_error_rate": rates.equal_error_rate(),
        "at_fmr": [asdict(rates.at(target)) for target in TARGETS],
    }


def _rows(group: str, rates: ErrorRates) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a group, up to the first threshold at which every pair matches."""
    curve = rates.curve()
    for i, threshold in enumerate(curve.threshold):
        shares = (
            (curve.fmr[i], *curve.fmr_interval[:, i]),
            (curve.fnmr[i], *curve.fnmr_interval[:, i]),
        )
        fmr, fnmr = ([_text(value) for value in values] for values in shares)
        yield group, threshold, curve.false_matches[i], *fmr, curve.false_non_matches[i], *fnmr
        if curve.false_matches[i] == rates.nonmated and not curve.false_non_matches[i]:
            break


def _text(rate: float) -> str:
    """Give six digits of a rate; nothing for a rate of no pairs."""
    return "" if np.isnan(rate) else f"{rate:.6g}"
