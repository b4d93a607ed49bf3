"""The results of a run as the report reads them, and what the report calls photos and people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.report.beside import Beside
from meanface.report.selection import counted
from meanface.report.text import shown
from meanface.results.statistics import Statistics


class Face(NamedTuple):
    """A face as the report shows it: its row of the table of faces, and lines of text."""

    row: int
    name: str
    note: str


class Names:
    """What the report calls photos and people: their names, or numbers without `paths`."""

    def __init__(self, identities: pd.DataFrame, *, paths: bool) -> None:
        """Number the people of the table `identities`, those with most photos first."""
        self._paths = paths
        order = identities[identities["identity"] != ""].sort_values(
            ["photos", "identity"], ascending=[False, True]
        )
        self.people: list[str] = order["identity"].tolist()
        self._numbers = {} if paths else {name: n for n, name in enumerate(self.people, 1)}

    def photo(self, path: str, row: int) -> str:
        """Name a photo by its path, or by its row in the table."""
        return shown(path, 80) if self._paths else f"face {row + 1}"

    def person(self, identity: str) -> str:
        """Name a person; "" for the photos in no folder."""
        if not identity or self._paths:
            return shown(identity, 40)
        return f"person {self._numbers[identity]}"


@dataclass(frozen=True)
class Drawn:
    """What is known of all faces, where the report has read a part of them.

    `is_drawn` (n,) tells the faces that were drawn at random from the others that were read.
    `different` faces are in photos that are no copies. `copies` counts the photos that are copies.
    """

    is_drawn: NDArray[np.bool_]
    different: int
    copies: int


@dataclass(frozen=True)
class Results:
    """The tables and arrays of a run, which share their rows as README says.

    The index of `faces` has the row numbers. `drawn` is there if `faces` has a part of the rows.

    `jobs` has the columns shard, photos and seconds: what each encode job encoded. `accuracy` has
    lfw.json and the table ROC, where pairs were scored. `persons`, `error_rates`, `audit` and
    `found` are the results of the targets people, verify, audit and find, where they ran.
    """

    summary: Mapping[str, Any]
    faces: pd.DataFrame
    failures: pd.DataFrame
    identities: pd.DataFrame
    embeddings: NDArray[np.float32]
    identity_means: NDArray[np.float64]
    statistics: Statistics
    jobs: pd.DataFrame
    accuracy: tuple[Mapping[str, Any], pd.DataFrame] | None
    persons: Beside | None
    error_rates: Beside | None
    audit: Beside | None
    found: Beside | None
    deduplicate: bool
    paths: bool
    drawn: Drawn | None = None

    def names(self) -> Names:
        """Give what the report calls photos and people."""
        return self._names

    @cached_property
    def _names(self) -> Names:
        # Sorting millions of names takes seconds.
        return Names(self.identities, paths=self.paths)

    def in_the_mean(self) -> pd.DataFrame:
        """Give the rows of the faces in the mean."""
        return counted(self.faces, self.deduplicate)

    def sample(self) -> pd.DataFrame:
        """Give faces drawn at random, for distributions: all faces that were read if possible."""
        return self.faces[self.drawn.is_drawn] if self.drawn else self.faces

    def different(self) -> int:
        """Give the number of faces in photos that are no copies."""
        return self.drawn.different if self.drawn else int((self.faces["duplicate_of"] == "").sum())

    def copies(self) -> int:
        """Give the number of photos that are copies."""
        if self.drawn:
            return self.drawn.copies
        return self.faces["path"][self.faces["duplicate_of"] != ""].nunique()

    def show(self, names: Names, rows: Sequence[int], notes: Sequence[str]) -> list[Face]:
        """Give faces to show, with a note for each."""
        paths = self.faces["path"].loc[list(rows)]
        return [
            Face(row, names.photo(path, row), note)
            for row, path, note in zip(rows, paths, notes, strict=True)
        ]

    def rows_of(self, faces: Iterable[tuple[str, int]]) -> list[int]:
        """Give the row of each face: its photo, and its number in the photo, from 1."""
        wanted = list(faces)
        theirs = self.faces[self.faces["path"].isin({path for path, _ in wanted})]
        numbers = theirs.groupby("path").cumcount() + 1
        row = dict(zip(zip(theirs["path"], numbers, strict=True), theirs.index, strict=True))
        return [row[face] for face in wanted]


def percent(part: float, whole: float) -> str:
    """Give a share in percent with two significant digits: "23 %", "0.04 %"."""
    share = 100 * part / whole
    return f"{share:.3g} %" if share >= 10 or share == 0 else f"{share:.2g} %"
