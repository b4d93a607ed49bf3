"""The manifest of a shard."""

import pytest

from meanface.shards.manifest import identity_of


@pytest.mark.parametrize(
    ("path", "identity"),
    [("lfw/Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee"), ("Ann/1.jpg", "Ann"), ("1.jpg", "")],
)
def test_the_identity_is_the_folder(path: str, identity: str) -> None:
    assert identity_of(path) == identity
