"""A search is exact without cells, block by block; with cells it finds nearly all."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from benchmarks.persons import lfw_like_sizes, synthetic_faces
from meanface.results import cells, neighbours
from meanface.results.cells import Cells, cells_of, search

FACES, _ = synthetic_faces(lfw_like_sizes(20_000, np.random.default_rng(0)))
MATRIX = cdist(FACES[:200].astype(np.float64), FACES.astype(np.float64))


def test_few_embeddings_are_all_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_ROWS", 3000)
    found = search(FACES, FACES[:200], cells_of(FACES), most=30)
    assert np.array_equal(found.rows, np.argsort(MATRIX, axis=1, kind="stable")[:, :30])
    assert found.distances == pytest.approx(np.sort(MATRIX, axis=1)[:, :30], abs=1e-6)


def test_equal_embeddings_are_sorted_by_row_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_ROWS", 2)
    same = np.zeros((5, 128), np.float32)
    found = search(same, same[:1], cells_of(same), most=7)
    assert found.rows.tolist() == [[0, 1, 2, 3, 4, -1, -1]]


def test_cells_find_nearly_all_and_are_the_same_for_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "_PROBES", 64)  # of 566 cells
    one, two = (cells_of(FACES, exact=1000, threads=threads) for threads in (1, 2))
    assert len(one.centres) == pytest.approx(4 * np.sqrt(20_000), abs=1)
    assert np.array_equal(np.sort(one.rows), np.arange(len(FACES)))
    assert np.array_equal(one.rows, two.rows)
    one.write(tmp_path / "index.npz")
    found = search(FACES, FACES[:200], Cells.read(tmp_path / "index.npz"), most=10)
    wanted = np.argsort(MATRIX, axis=1, kind="stable")[:, :10]
    shared = [
        len(set(a) & set(b)) for a, b in zip(found.rows.tolist(), wanted.tolist(), strict=True)
    ]
    assert np.mean(shared) > 9.5
    assert (found.rows[:, 0] == np.arange(200)).all()


def test_all_faces_of_the_cells_are_compared_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """In all cells together are more faces than `nearest` compares of itself."""
    monkeypatch.setattr(cells, "_PROBES", len(FACES))
    monkeypatch.setattr(cells, "nearest", partial(neighbours.nearest, exact=1000))
    monkeypatch.setattr(neighbours, "_PROBES", 1)
    found = search(FACES, FACES[:200], cells_of(FACES, exact=1000), most=30)
    assert np.array_equal(found.rows, np.argsort(MATRIX, axis=1, kind="stable")[:, :30])
