"""The false match rate at a distance: how often two persons are as near as that.

The rates come from `verify`, see error_rates. Where `verify` has not run on the user's photos, they
are those of 1,601 photos of 860 people of Labeled Faces in the Wild, with the default engine:
`python -m benchmarks.false_matches results` writes false_matches.json from such results.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meanface.files.json_files import read_json
from meanface.files.schemas import VERIFICATION
from meanface.files.tables import read_table

_MEASURED = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class FalseMatches:
    """Of `pairs` of two persons, count[i] (k,) are nearer than threshold[i] (k,), ascending."""

    source: str
    pairs: int
    threshold: NDArray[np.float64]
    count: NDArray[np.int64]

    @classmethod
    def measured(cls) -> "FalseMatches":
        """Read the rates that come with meanface."""
        content = read_json(_MEASURED)
        count = np.array(content["false_matches"], np.int64)
        threshold = np.round((1 + np.arange(len(count))) * content["step"], 6)
        return cls(content["source"], content["pairs"], threshold, count)

    @classmethod
    def read(cls, table: Path, summary: Path) -> "FalseMatches":
        """Read the rates of everyone from the two files of `verify`."""
        rows = read_table(table, VERIFICATION, ["group", "threshold", "false_matches"])
        rows = rows[rows["group"] == ""]
        pairs = read_json(summary)["nonmated_pairs"]
        return cls(
            str(table), pairs, rows["threshold"].to_numpy(), rows["false_matches"].to_numpy()
        )

    def rate(self, distance: float) -> float:
        """Give the rate at the first threshold that is not below the distance.

        Where no pair is as near, the rate is that of one pair: it may be smaller.
        """
        place = int(np.searchsorted(self.threshold, distance))
        if place == len(self.threshold):
            return 1.0
        return float(max(self.count[place], 1) / self.pairs)
