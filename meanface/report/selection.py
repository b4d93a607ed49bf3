"""Which photos, faces and people a picture shows."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def shuffled(paths: Sequence[str]) -> NDArray[np.intp]:
    """Give the indices of the paths sorted by SHA-256: like random, always the same."""
    digests = b"".join(hashlib.sha256(path.encode()).digest()[:8] for path in paths)
    return np.argsort(np.frombuffer(digests, dtype=">u8"), kind="stable")


def sample_of(paths: Sequence[str], most: int) -> NDArray[np.intp]:
    """Give the first `most` of shuffled(paths), ascending: a random sample, always the same."""
    return np.sort(shuffled(paths)[:most])


def of_every_reason(failures: pd.DataFrame, most: int) -> pd.DataFrame:
    """Give at most `most` rows of the table of failures, spread evenly over the reasons."""
    mixed = failures.iloc[shuffled(failures["path"].tolist())]
    turn = mixed.groupby("reason").cumcount()
    return mixed.iloc[np.argsort(turn, kind="stable")[:most]].sort_values(["reason", "path"])


def most_frequent(identities: pd.Series, most: int) -> pd.Series:
    """Give the number of photos of the `most` people who have the most photos, two at least.

    The identity "" (photos in no folder) is no person. Ties are sorted by name.
    """
    counts = identities[identities != ""].value_counts()
    counts = counts[counts > 1].sort_index().sort_values(ascending=False, kind="stable")
    return counts.head(most)


def counted(faces: pd.DataFrame, deduplicate: bool) -> pd.DataFrame:
    """Give the rows of the table of faces in the mean. `deduplicate` drops duplicates."""
    return faces[faces["duplicate_of"] == ""] if deduplicate else faces


def extremes(faces: pd.DataFrame, most: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the rows of the faces nearest to the mean, and of those farthest from it.

    Each has at most `most` rows, one for a photo and its duplicates, and half of the photos.
    """
    different = faces[faces["duplicate_of"] == ""]
    few = min(most, -(-different["path"].nunique() // 2))
    near, far = (
        different.sort_values("distance", ascending=ascending, kind="stable")
        for ascending in (True, False)
    )
    return near.drop_duplicates("path").head(few), far.drop_duplicates("path").head(few)
