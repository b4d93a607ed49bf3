"""One entry of an archive, before its content is read."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from meanface.errors import UserError

MAX_PATH = 4096  # characters: PATH_MAX of Linux


class Entry(NamedTuple):
    """What an archive says of a member; bytes of the name that are not UTF-8 are surrogates."""

    name: str
    kind: str  # "file", "directory", "link" or "other"
    size: int
    read: Callable[[int], bytes]  # so many bytes of it, or all if it has less


def kind_of(mode: int) -> str:
    """Give the kind of an entry by the file type in its mode (stat.S_IFMT)."""
    known = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return known.get(stat.S_IFMT(mode), "other")


def refused(source: Path, name: str, why: str) -> UserError:
    """Give the error for an entry with which nothing of its archive is read."""
    return UserError(f"{source}: member {name[:MAX_PATH]!r} {why}: make the archive without it")
