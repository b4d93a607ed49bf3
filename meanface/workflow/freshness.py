"""Whose results these are, and whether they are made of what this run wants.

Snakemake's own records can be missing (a new checkout, results in storage, a killed controller) or
ignored (`--rerun-triggers mtime`). So the truth is in the files. The JSON file of each source and
the summary say what they were made of, as `made_of`. A file made of something else is removed when
a run starts, and Snakemake makes it again, whatever else it looks at. The outcomes of shards need
no such check: their paths name the engine and the contents.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from meanface.errors import UserError
from meanface.files.json_files import read_json

SUMMARY = "summary.json"
_MERGED = ("mean.npy", "embeddings.npy", "faces.csv", "faces.parquet", "failures.csv")

# What a run makes, and what another set of photos must not leave behind.
_MADE = (
    "accuracy",
    "contents",
    "download",
    "encoded",
    "parts",
    "pictures",
    "plan",
    "shards",
    "sources",
    "report.html",
    SUMMARY,
)


@dataclass(frozen=True)
class Wanted:
    """What a run makes its results of.

    `sources` gives for each source, and `summary` for merge, what their JSON files must say that
    they were made of. A run with `replace` may replace the results of other photos; those of the
    bundled `sample` (a path) may always be replaced.
    """

    sources: Mapping[str, Mapping[str, Any]]
    summary: Mapping[str, Any]
    sample: str
    replace: bool

    @property
    def photos(self) -> list[str]:
        """The sources' paths and URLs."""
        return [str(made_of["photos"]) for made_of in self.sources.values()]


class Results(Protocol):
    """The files of a run, by their paths below its folder of results."""

    name: str
    """The folder or address, for people."""

    def read(self, path: str) -> dict[str, Any] | None:
        """Read a JSON object; None where there is none that can be read."""

    def sources(self) -> list[str]:
        """Give the names of the sources whose JSON files there are."""

    def remove(self, path: str) -> None:
        """Remove a file or folder, if it is there."""

    def outdate(self, path: str) -> None:
        """Have a file look older than what it was made of, if it is there."""


class LocalResults:
    """Results in a folder."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def read(self, path: str) -> dict[str, Any] | None:
        """Read a JSON object; None where there is none that can be read."""
        try:
            content: Any = read_json(self._folder / path)
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def sources(self) -> list[str]:
        """Give the names of the sources whose JSON files there are."""
        return sorted(file.stem for file in self._folder.glob("sources/*.json"))

    def remove(self, path: str) -> None:
        """Remove a file or folder, if it is there."""
        target = self._folder / path
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def outdate(self, path: str) -> None:
        """Have a file look older than what it was made of, if it is there."""
        with suppress(FileNotFoundError):
            os.utime(self._folder / path, (1, 1))


def prepare(results: Results, wanted: Wanted) -> None:
    """Remove what was made of something else than a run wants.

    Raises UserError where these are the results of other photos, which the run may not replace.
    """
    summary = results.read(SUMMARY) or {}
    merged: Mapping[str, Any] = summary.get("sources", {})
    names = {*results.sources(), *wanted.sources}
    found = {name: results.read(f"sources/{name}.json") for name in sorted(names)}
    records = [record for record in (*merged.values(), *found.values()) if record]
    photos = dict.fromkeys(_made_of(record)["photos"] for record in records if _made_of(record))
    if any(source not in wanted.photos for source in photos):
        if not wanted.replace:
            _check_same_photos(photos, wanted, results.name)
        for made in _MADE:
            results.remove(made)
        return
    outdated = {
        name: record
        for name, record in found.items()
        if _made_of(record) != wanted.sources.get(name, {})
    }
    for name, record in outdated.items():
        results.remove(f"sources/{name}.json")
        now = wanted.sources.get(name, {})
        if record and _made_of(record).get("checksum") != now.get("checksum"):
            results.remove(f"download/{name}")
    if outdated or _made_of(summary) != wanted.summary:
        # Snakemake makes a missing file again only if the files made of it are missing or older.
        results.remove(SUMMARY)
        for merged_file in _MERGED:
            results.outdate(merged_file)


def _made_of(record: dict[str, Any] | None) -> dict[str, Any]:
    made_of = (record or {}).get("made_of")
    return made_of if isinstance(made_of, dict) and made_of else {}


def _check_same_photos(known: Iterable[str], wanted: Wanted, name: str) -> None:
    """Raise UserError where photos other than the sample's have results that would be replaced."""
    own = [source for source in known if source != wanted.sample]
    others = [source for source in own if source not in wanted.photos]
    if others:
        config = own[0] if len(own) == 1 else f"'[{', '.join(own)}]'"
        raise UserError(
            f"{name} holds the results of {', '.join(others)}, which a run of "
            f"{', '.join(wanted.photos)} would replace; to continue with those, use "
            f"`--config photos={config}`, name another folder by --directory, or add replace=true"
        )
