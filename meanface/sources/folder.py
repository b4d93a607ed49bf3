"""List the files below a folder, or the files that match a pattern such as `photos/*.tar`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from meanface.errors import UserError
from meanface.sources.ignore import Ignore

# The name of a library of Apple Photos or iPhoto tells which of its folders are ignored.
_LIBRARIES = (".photoslibrary", ".photolibrary")


class Found(NamedTuple):
    """A name below a folder; bytes that are not UTF-8 are surrogates, as in os.fsdecode."""

    name: str  # relative, separated by '/'; a folder's name ends with '/'
    status: os.stat_result | None  # of the link itself; None if ignored, or if `error` says why
    error: str = ""


@dataclass(frozen=True)
class Folder:
    """A folder, and a pattern: only matching paths, and all paths below them, count."""

    path: Path
    pattern: str = ""

    @classmethod
    def of(cls, place: Path) -> "Folder | None":
        """Read `place` as a folder, or as a pattern in a folder; None if it is neither."""
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
        """Yield all names below the folder, sorted by path, each folder before its content.

        Links are not followed, and ignored folders are not listed. Raises UserError for a folder
        that cannot be listed.
        """
        library = f"{self.path.name}/" if self.path.name.endswith(_LIBRARIES) else ""
        todo = [""]  # a stack of names
        while todo:
            name = todo.pop()
            path = f"{self.path}/{name}"
            if name:
                if ignore.matches(name) or (library and ignore.matches(library + name)):
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
        """Tell whether a file's relative path counts, or whether a folder ('/' at its end) may."""
        if not self.pattern:
            return True
        parts, wanted = name.rstrip("/").split("/"), self.pattern.split("/")
        whole = len(parts) >= len(wanted) or name.endswith("/")
        return whole and all(map(fnmatchcase, parts, wanted))
