"""Photos to forget: the lines of the file `exclude`, and what each line excluded."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from unicodedata import normalize

from meanface.errors import UserError
from meanface.files.digest import file_digest
from meanface.files.schemas import EXCLUDED
from meanface.files.tables import write_table
from meanface.shards.manifest import identity_of

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def state_of_list(path: Path) -> str:
    """Give the sha256 (hexadecimal) of the file `exclude`. UserError: it cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise UserError(
            f"config: exclude: {path} cannot be read: {error.strerror}; name a text file with one"
            " path, identity or sha256 per line"
        ) from error


def read_list(path: Path) -> dict[str, int]:
    """Read the lines of the file `exclude`, each with its number, counted from 1.

    Empty lines, and lines that begin with `#`, are ignored. A repeated line has the number of its
    first occurrence. Raises UserError for a file that cannot be read or is not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"config: exclude: {path} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise UserError(f"config: exclude: {path} cannot be read: {error.strerror}") from error
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            is_digest = _SHA256.fullmatch(entry)
            lines.setdefault(entry.lower() if is_digest else normalize("NFC", entry), number)
    return lines


class Exclusion:
    """Tells which photos are excluded, and counts them.

    `lines` are from read_list. A line excludes the photos whose path, identity or sha256 equals the
    line. Paths and identities are compared in Unicode's form NFC, because file systems differ in
    the form of names. `prefixed`: paths begin with the name of their source.
    """

    def __init__(self, lines: Mapping[str, int], *, prefixed: bool = False) -> None:
        self._lines, self._prefixed = lines, prefixed
        self._photos: Counter[tuple[int, str]] = Counter()
        self._contents = {entry for entry in lines if _SHA256.fullmatch(entry)}
        self._kept: set[str] = set()

    def covers(self, path: str, sha256: str) -> bool:
        """Tell whether a photo is excluded, and count it. `sha256` is "" for a photo not read."""
        if not self._lines:
            return False
        names = {
            "path": normalize("NFC", path),
            "identity": identity_of(path, prefixed=self._prefixed),
            "sha256": sha256,
        }
        found = [(self._lines[name], kind) for kind, name in names.items() if name in self._lines]
        self._photos.update(found)
        if sha256:
            (self._contents if found else self._kept).add(sha256)
        return bool(found)

    def leave_out(self, sha256: str) -> None:
        """Exclude a content that `covers` has kept: a RAW file beside an excluded photo."""
        self._kept.discard(sha256)
        self._contents.add(sha256)

    @property
    def contents(self) -> set[str]:
        """The contents (sha256) that no photo has any more: those of excluded photos and lines."""
        return self._contents - self._kept

    @property
    def by_line(self) -> dict[str, int]:
        """The number of photos by `<line> <kind>`, for JSON."""
        return {f"{line} {kind}": count for (line, kind), count in sorted(self._photos.items())}


def write_excluded(
    lines: Mapping[str, int], counts: Iterable[Mapping[str, int]], target: Path
) -> list[int]:
    """Write the table EXCLUDED; give the numbers of the lines that excluded no photo.

    `lines` are from read_list, `counts` are the `by_line` of each source.
    """
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    found = [(int(line), kind, total[f"{line} {kind}"]) for line, kind in map(str.split, total)]
    unmatched = sorted({*lines.values()} - {line for line, *_ in found})
    write_table(target, EXCLUDED, sorted([*found, *((line, "", 0) for line in unmatched)]))
    return unmatched
