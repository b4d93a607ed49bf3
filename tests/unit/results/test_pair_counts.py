"""Pairs are counted exactly: against every distance one by one, in any order of rows."""

import hashlib
import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from meanface.results.pair_counts import BINS, COARSE, STEP, count_pairs
from tests.runs import ROOT


def people(sizes: list[int], seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Embeddings of persons with so many photos, as dlib's are, in random order."""
    rng = np.random.default_rng(seed)
    persons = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = 0.1 + rng.normal(0, 0.06, (len(sizes), 128))
    photos = centres[persons] + rng.normal(0, 0.03, (len(persons), 128))
    return photos.astype(np.float32), persons


def test_the_counts_are_those_of_every_pair_by_itself() -> None:
    vectors, persons = people([1, 2, 3, 40, 1])
    counts = count_pairs(vectors, persons)
    mated, nonmated = np.zeros(BINS, int), np.zeros(BINS, int)
    by_person = np.zeros((2, 5, BINS // COARSE), int)
    for i, j in combinations(range(len(persons)), 2):
        place = int(np.linalg.norm(vectors[i].astype(float) - vectors[j]) / STEP)
        own = persons[i] == persons[j]
        (mated if own else nonmated)[place] += 1
        for person in {persons[i], persons[j]}:
            by_person[0 if own else 1, person, place // COARSE] += 1
    # The rounding to 22 bits moves a distance by 3e-6 at most: a pair near an edge may change bins.
    for found, expected in ((counts.mated, mated), (counts.nonmated, nonmated)):
        assert found.sum() == expected.sum()
        assert np.abs(np.cumsum(found) - np.cumsum(expected)).max() <= 0.07 * expected.sum() / 20
        assert np.abs(found - expected).sum() <= 0.1 * expected.sum()
    for found, expected in (
        (counts.mated_by_person, by_person[0]),
        (counts.nonmated_by_person, by_person[1]),
    ):
        assert np.array_equal(found.sum(axis=1), expected.sum(axis=1))
        assert np.abs(found - expected).sum() <= 4


def test_the_order_of_rows_changes_no_count() -> None:
    vectors, persons = people([5] * 300)
    expected = count_pairs(vectors, persons)
    order = np.random.default_rng(2).permutation(len(persons))
    found = count_pairs(vectors[order], persons[order])
    for name in ("mated", "nonmated", "mated_by_person", "nonmated_by_person"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_number_of_cores_changes_no_count(threads: str) -> None:
    code = (
        "import hashlib; from tests.unit.results.test_pair_counts import *;"
        "c = count_pairs(*people([3] * 700));"
        "print(hashlib.sha256(c.nonmated.tobytes() + c.mated.tobytes()).hexdigest())"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    counts = count_pairs(*people([3] * 700))
    here = hashlib.sha256(counts.nonmated.tobytes() + counts.mated.tobytes()).hexdigest()
    assert done.stdout.strip() == here, done.stderr


def test_distances_beyond_the_longest_are_counted_in_the_last_bin() -> None:
    vectors = np.array([[0.0] * 128, [1.0] * 128, [0.0] * 128], np.float32)
    counts = count_pairs(vectors, np.array([0, 1, 1]))
    assert counts.mated[-1] == 1
    assert counts.nonmated[0] == 1
    assert counts.nonmated[-1] == 1
    assert counts.mated.sum() + counts.nonmated.sum() == 3
