"""One entry of an archive, before its content is read."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from meanface.errors import UserError

MAX_PATH = 4096  # characters: PATH_MAX of Linux


class Entry(NamedTuple):
    """What an archive says about a member. Name bytes that are not UTF-8 are surrogates."""

    name: str
    kind: str  # "file", "directory", "link" or "other"
    size: int
    read: Callable[[int], bytes]  # reads at most this many bytes of the member


def kind_of(mode: int) -> str:
    """Give the kind of an entry by the file type in its mode (stat.S_IFMT)."""
    known = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return known.get(stat.S_IFMT(mode), "other")


def refused(source: Path, name: str, why: str) -> UserError:
    """Give the error for an entry that makes meanface refuse its archive."""
    return UserError(f"{source}: member {name[:MAX_PATH]!r} {why}: make the archive without it")
