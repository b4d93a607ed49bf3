"""Arrays in files."""

from pathlib import Path

import numpy as np
import pytest

from meanface.files.arrays import save_array


def test_an_array_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "array.npy"
    save_array(target, np.arange(3))
    with pytest.raises(ValueError, match="allow_pickle"):  # raised when the header is written
        save_array(target, np.array([{}], dtype=object))
    assert np.load(target, allow_pickle=False).tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [target]
