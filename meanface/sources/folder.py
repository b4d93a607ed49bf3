"""What lies below a folder, or of that what a pattern such as `photos/*.tar` names."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from meanface.errors import UserError
from meanface.sources.ignore import Ignore


class Found(NamedTuple):
    """A name below a folder; bytes that are not UTF-8 are surrogates, as in os.fsdecode."""

    name: str  # relative, separated by '/', that of a folder ends with '/'
    status: os.stat_result | None  # of a link itself; None: ignored, or `error` says why
    error: str = ""


@dataclass(frozen=True)
class Folder:
    """A folder, and the pattern of the paths in it that count (those and all below them)."""

    path: Path
    pattern: str = ""

    @classmethod
    def of(cls, place: Path) -> "Folder | None":
        """Give the folder that `place` is, or is a pattern in; None where it is neither."""
        if place.is_dir():
            return cls(place)
        if not place.exists():
            for folder in place.parents:
                if not any(letter in str(folder) for letter in "*?["):
                    pattern = place.relative_to(folder).as_posix()
                    is_pattern = any(letter in pattern for letter in "*?[")
                    return cls(folder, pattern) if is_pattern and folder.is_dir() else None
        return None

    def walk(self, ignore: Ignore) -> Iterator[Found]:
        """Yield all that lies below, sorted by path, a folder before what is in it.

        No link is followed. An ignored folder is not looked into. Raises UserError for a folder
        that cannot be listed.
        """
        todo = [""]  # names, the next one last
        while todo:
            name = todo.pop()
            path = f"{self.path}/{name}"
            if name:
                if ignore.matches(name):
                    yield Found(name, None)
                    continue
                try:
                    yield Found(name, os.lstat(path))
                except OSError as error:
                    yield Found(name, None, error.strerror or str(error))
                if not name.endswith("/"):
                    continue
            try:
                with os.scandir(path) as found:
                    names = [item.name + "/" * item.is_dir(follow_symlinks=False) for item in found]
            except OSError as error:
                raise UserError(f"{path}: cannot be listed: {error.strerror}") from error
            todo += [
                child for each in sorted(names, reverse=True) if self.takes(child := name + each)
            ]

    def takes(self, name: str) -> bool:
        """Tell whether a relative path counts; a folder's ends with '/', and may lead to some."""
        if not self.pattern:
            return True
        parts, wanted = name.rstrip("/").split("/"), self.pattern.split("/")
        whole = len(parts) >= len(wanted) or name.endswith("/")
        return whole and all(map(fnmatchcase, parts, wanted))
