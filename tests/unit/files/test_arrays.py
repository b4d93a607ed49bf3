"""Arrays in files."""

from pathlib import Path

import numpy as np
import pytest

from meanface.files.arrays import save_array, taken


def test_an_array_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "array.npy"
    save_array(target, np.arange(3))
    with pytest.raises(ValueError, match="allow_pickle"):  # raised when the header is written
        save_array(target, np.array([{}], dtype=object))
    assert np.load(target, allow_pickle=False).tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [target]


def test_rows_are_taken_in_their_order(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((5000, 3)).astype(np.float32)
    save_array(tmp_path / "array.npy", array)
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r", allow_pickle=False)
    rows = np.random.default_rng(1).integers(0, 5000, 4099)
    for source in (mapped, array):
        found = taken(source, rows)
        assert found.dtype == np.float32
        assert np.array_equal(found, array[rows])
    assert taken(mapped, rows[:0]).shape == (0, 3)
