"""Measures the search of `find` among synthetic faces.

python -m benchmarks.find --faces 100000 --queries 1
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.persons import lfw_like_sizes, synthetic_faces
from meanface.results.cells import EXACT, cells_of, search


def main() -> None:
    """Print the seconds to divide the faces into cells, and to search for some of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1)
    parser.add_argument("--exact", type=int, default=EXACT)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    made, _ = synthetic_faces(lfw_like_sizes(given.faces, np.random.default_rng(0)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "embeddings.npy"
        np.save(file, made)
        asked = made[np.linspace(0, len(made) - 1, given.queries).astype(int)]
        del made
        faces = np.load(file, mmap_mode="r", allow_pickle=False)
        began = time.perf_counter()
        cells = cells_of(faces, threads=given.threads, exact=given.exact)
        divided = time.perf_counter()
        found = search(faces, asked, cells, most=1000, threads=given.threads)
        searched = time.perf_counter()
        exact = search(
            faces, asked, cells_of(faces, exact=len(faces)), most=20, threads=given.threads
        )
    shared = [
        len(set(some) & set(wanted)) / 20
        for some, wanted in zip(found.rows[:, :20].tolist(), exact.rows.tolist(), strict=True)
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{given.faces:,} faces, {given.queries:,} queries, {given.threads} threads:"
        f" {divided - began:.1f} s for {len(cells.centres):,} cells,"
        f" {searched - divided:.2f} s to search; {100 * np.mean(shared):.1f} % of the 20 nearest"
        f" faces are found; at most {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
