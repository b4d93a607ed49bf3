"""Embeddings that come in any order are written in the order of their positions."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from meanface.results.gather import Piece, gather


@pytest.mark.parametrize("stretch", [1, 7, 100, 101, 1 << 18])
def test_each_embedding_is_at_its_position(stretch: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(stretch)
    wanted = rng.normal(size=(100, 128)).astype(np.float32)
    order = rng.permutation(100)
    pieces = [(some, wanted[some]) for some in np.split(order, [0, 1, 60])]
    target, folder = tmp_path / "embeddings.npy", tmp_path / "folder"
    folder.mkdir()
    gather(pieces, 100, target, folder, stretch=stretch)
    assert np.array_equal(np.load(target, allow_pickle=False), wanted)
    assert list(folder.iterdir()) == []


def test_a_failure_leaves_no_result(tmp_path: Path) -> None:
    def pieces() -> Iterator[Piece]:
        yield np.arange(2), np.zeros((2, 128), np.float32)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        gather(pieces(), 4, tmp_path / "embeddings.npy", tmp_path)
    assert not (tmp_path / "embeddings.npy").exists()
