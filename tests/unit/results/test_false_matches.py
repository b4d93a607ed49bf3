"""The false match rate at a distance, from the tables of verify."""

from pathlib import Path

import numpy as np
import pytest

from meanface.files.json_files import write_json
from meanface.files.schemas import VERIFICATION
from meanface.files.tables import write_table
from meanface.results.false_matches import FalseMatches


def test_a_rate_is_that_of_the_next_threshold_and_never_zero(tmp_path: Path) -> None:
    counts = {"": [(0.3, 0), (0.4, 2), (0.5, 40)], "a group": [(0.3, 9)]}
    rows = [
        (group, threshold, count, *[""] * 3, 0, *[""] * 3)
        for group, some in counts.items()
        for threshold, count in some
    ]
    write_table(tmp_path / "v.csv", VERIFICATION, rows)
    write_json(tmp_path / "v.json", {"nonmated_pairs": 40})
    rates = FalseMatches.read(tmp_path / "v.csv", tmp_path / "v.json")
    wanted = {0.1: 1 / 40, 0.3: 1 / 40, 0.31: 2 / 40, 0.4: 2 / 40, 0.41: 1, 0.9: 1}
    assert {distance: rates.rate(distance) for distance in wanted} == wanted


def test_the_rates_that_come_with_meanface_rise_with_the_distance() -> None:
    rates = FalseMatches.measured()
    assert rates.rate(0.0) == 1 / rates.pairs
    assert rates.rate(0.5459) == pytest.approx(1e-3, rel=0.2)
    assert rates.rate(2.0) == 1
    assert (np.diff(rates.count) >= 0).all()
    assert rates.count[-1] == rates.pairs
