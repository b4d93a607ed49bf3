"""Fixtures of the tests of shards."""

from pathlib import Path

import pytest

from tests.unit.shards.making import Shards, split_into, write_tar


@pytest.fixture
def one(tmp_path: Path) -> Shards:
    source = write_tar(tmp_path / "x.tar", [(f"{i}.jpg", bytes([i]) * 600) for i in range(3)])
    return split_into(tmp_path / "one", source, count=1)[0]
