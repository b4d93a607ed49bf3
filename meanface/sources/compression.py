"""Open compressed files as streams of unpacked bytes."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import zstandard

DAMAGED = (
    *(OSError, EOFError, ValueError, MemoryError),  # headers may ask for gigabytes
    *(zlib.error, lzma.LZMAError, zstandard.ZstdError),
)
"""What the streams raise on damaged data."""


def open_unpacked(path: Path, kind: str) -> IO[bytes]:
    """Open a file of a `kind` that archive_kind gives, except zip. Reading may raise DAMAGED."""
    return _OPENED[kind](path)


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _gzip(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path))


def _zstd(path: Path) -> IO[bytes]:
    return zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)


_OPENED: dict[str, Callable[[Path], IO[bytes]]] = {
    "tar": _plain,
    "gz": _gzip,
    "bz2": bz2.open,
    "xz": lzma.open,
    "zst": _zstd,
}
