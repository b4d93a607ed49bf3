"""Shards of made-up photos for the tests."""

import io
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from meanface.errors import AccountingError
from meanface.shards.manifest import Photo
from meanface.shards.read import read_shard
from meanface.shards.split import BUFFER, split

SUFFIXES = frozenset({".jpg", ".jpeg"})


class Shards(NamedTuple):
    tars: list[Path]
    manifests: list[Path]

    def bytes(self) -> list[bytes]:
        return [path.read_bytes() for paths in self for path in paths]

    def photos(self) -> Iterator[Photo]:
        for tar, manifest in zip(self.tars, self.manifests, strict=True):
            yield from read_shard(tar, manifest)


def shards_in(folder: Path, count: int) -> Shards:
    folder.mkdir(exist_ok=True)
    return Shards(*([folder / f"{i}.{kind}" for i in range(count)] for kind in ("tar", "csv")))


def split_into(
    folder: Path,
    source: Path,
    count: int = 4,
    max_bytes: int = 1 << 20,
    buffer: int = BUFFER,
) -> tuple[Shards, Counter[str]]:
    made = shards_in(folder, count)
    return made, split(source, *made, suffixes=SUFFIXES, max_bytes=max_bytes, buffer=buffer)


def write_tar(
    path: Path, files: Iterable[tuple[str, bytes]], format: int = tarfile.GNU_FORMAT
) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid, info.uname = len(data), 1234567, 1000, "someone"
            archive.addfile(info, io.BytesIO(data))
    return path


def mismatch(made: Shards) -> str:
    """What is said of a tar that does not agree with its manifest."""
    with pytest.raises(AccountingError) as caught:
        list(made.photos())
    assert str(made.manifests[0]) in str(caught.value)
    return str(caught.value)
