"""The index of the cache: it finds the files of contents, and forgets files."""

import hashlib

import numpy as np

from meanface.results.cache_index import Index


def content(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def test_an_index_without_some_files_finds_the_others_only() -> None:
    shards = {name: [content(f"{name}{i}") for i in range(5)] for name in "stu"}
    index = Index.of(shards.items()).only({"s", "u", "unknown"}).checked()
    assert index.holders([content("s3"), content("u0"), content("t1")]) == {"s", "u"}
    assert index.names.tolist() == ["s", "u"]
    assert len(index.starts) == 10
    assert index.where.dtype == np.uint32
    assert not Index.of(shards.items()).only([]).holders(shards["s"])
