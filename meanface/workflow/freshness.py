"""Check that existing results are made of the sources and settings of this run.

Snakemake's own records can be missing (a new checkout, results in storage, a killed controller) or
ignored (`--rerun-triggers mtime`). So the files themselves hold the truth. The JSON file of each
source, and the summary, say in `made_of` what they were made of. At the start of a run, a file made
of something else is removed, and Snakemake makes this file again. The outcomes of shards need no
such check, because their paths name the engine and the contents.
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

# The files and folders of a run. A run on other photos removes all of them.
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

    `sources` (by source) and `summary` (for merge) hold the `made_of` that their JSON files must
    have. A run with `replace` may replace the results of other photos. Any run may replace the
    results of the bundled `sample` (a path).
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
    """The files of a run, by their paths below the folder of results."""

    name: str
    """The folder or address, for people."""

    def read(self, path: str) -> dict[str, Any] | None:
        """Read a JSON object; None where there is none that can be read."""

    def sources(self) -> list[str]:
        """Give the names of the sources whose JSON files there are."""

    def remove(self, path: str) -> None:
        """Remove a file or folder, if it is there."""

    def outdate(self, path: str) -> None:
        """Make an existing file look older than its inputs."""


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
        """Make an existing file look older than its inputs."""
        with suppress(FileNotFoundError):
            os.utime(self._folder / path, (1, 1))


def prepare(results: Results, wanted: Wanted) -> None:
    """Remove results that were made of other sources or settings than those of this run.

    Raises UserError if the results are of other photos, and the run may not replace them.
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
    """Raise UserError if the run would replace results of photos other than the sample."""
    own = [source for source in known if source != wanted.sample]
    others = [source for source in own if source not in wanted.photos]
    if others:
        config = own[0] if len(own) == 1 else f"'[{', '.join(own)}]'"
        raise UserError(
            f"{name} holds the results of {', '.join(others)}, which a run of "
            f"{', '.join(wanted.photos)} would replace; to continue with those, use "
            f"`--config photos={config}`, name another folder by --directory, or add replace=true"
        )
