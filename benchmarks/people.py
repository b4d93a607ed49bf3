"""Measures `people` on synthetic persons, and the false match rates of results with names.

python -m benchmarks.people --faces 1000000            # time, memory and scores
python -m benchmarks.people --album 10 300             # the same, 10 persons with 300 photos each
python -m benchmarks.people --results lfw/results      # the table of docs/people.md
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.persons import lfw_like_sizes, synthetic_faces
from meanface.files.parquet import read_frame
from meanface.results.neighbours import nearest
from meanface.results.people import NEIGHBOURS, People, people_of
from meanface.results.person_tables import bcubed
from meanface.results.statistics import distances

THRESHOLDS = (0.78, 0.80, 0.82, 0.84, 0.86, 0.88, 0.90)


def measure(sizes: NDArray[np.int64], same_person: float, threads: int) -> None:
    """Print the seconds, the memory and the scores of `people` on persons of these sizes."""
    vectors, person = synthetic_faces(sizes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, used = time.perf_counter(), time.process_time()
    neighbours = nearest(vectors, most=NEIGHBOURS, threads=threads)
    searched = time.perf_counter() - began
    found = people_of(vectors, neighbours, same_person, threads=threads)
    print(
        f"{len(person):,} faces of {person.max() + 1:,} persons, {threads} threads:"
        f" {time.perf_counter() - began:.0f} s ({searched:.0f} s to search),"
        f" {time.process_time() - used:.0f} s of processor time, at most"
        f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
        f" ({before / 1024:.0f} MiB before)\n{bcubed(found.person, person)}"
    )


def rates(results: Path) -> None:
    """Print the table of thresholds: false match and non-match rates of pairs, and B-cubed."""
    vectors = np.load(results / "embeddings.npy", allow_pickle=False)
    identity = read_frame(results / "faces.parquet", ["identity"])["identity"]
    names = pd.factorize(identity)[0]
    neighbours = nearest(vectors, most=NEIGHBOURS)
    print("| same_person | false match rate | false non-match rate | persons | P | R | F |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for same_person in THRESHOLDS:
        found = people_of(vectors, neighbours, same_person)
        match, non_match = _pair_rates(vectors, names, found, same_person)
        scores = bcubed(found.person, names)
        print(
            f"| {same_person:.2f} | {match:.1e} | {non_match:.3f} | {found.person.max() + 1:,} |"
            f" {scores.precision:.3f} | {scores.recall:.3f} | {scores.f:.3f} |"
        )


def _pair_rates(
    vectors: NDArray[np.float32], names: NDArray[np.int64], found: People, same_person: float
) -> tuple[float, float]:
    matched, pairs = np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
    for row in range(len(vectors) - 1):
        others = slice(row + 1, None)
        lengths = distances(vectors[others], vectors[row].astype(np.float64))
        scale = np.sqrt(found.strangers[row] * found.strangers[others])
        same = (names[others] == names[row]).astype(np.int64)
        pairs += np.bincount(same, minlength=2)
        matched += np.bincount(same[lengths < same_person * scale], minlength=2)
    return float(matched[0] / pairs[0]), float(1 - matched[1] / pairs[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--album", type=int, nargs=2, metavar=("PERSONS", "PHOTOS"))
    parser.add_argument("--same-person", type=float, default=0.86)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    if given.results:
        rates(given.results)
    else:
        sizes = lfw_like_sizes(given.faces, np.random.default_rng(0))
        if given.album:
            sizes = np.full(*given.album)
        measure(sizes, given.same_person, given.threads)
