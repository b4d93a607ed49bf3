"""Files that appear whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from meanface.files.arrays import save_array
from meanface.files.atomic import replacing


def test_what_is_written_is_seen_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "made"
    target.write_text("before")
    with replacing(target) as part:
        part.write_text("after")
        assert target.read_text() == "before"
    assert target.read_text() == "after"
    assert list(tmp_path.iterdir()) == [target]


def test_an_array_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "array.npy"
    save_array(target, np.arange(3))
    with pytest.raises(ValueError, match="allow_pickle"):  # raised when the header is written
        save_array(target, np.array([{}], dtype=object))
    assert np.load(target, allow_pickle=False).tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [target]
