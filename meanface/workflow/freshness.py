"""Whose results these are, and whether they are made of what this run wants.

Snakemake's own records can be missing (a new checkout, results in storage, a killed controller) or
ignored (`--rerun-triggers mtime`). So the truth is in the files. The JSON file of each source and
the summary say what they were made of, as `made_of`. If a run wants something else, Snakemake has
to make them again, whatever else it looks at. The outcomes of shards need no such check: their
paths name the engine and the contents.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from meanface.errors import UserError
from meanface.files.atomic import remove
from meanface.files.home import from_home
from meanface.files.json_files import read_json
from meanface.workflow.command_line import config_argument
from meanface.workflow.integrity import recorded_files

SUMMARY = "summary.json"
MERGED = (SUMMARY, "mean.npy", "embeddings.npy", "faces.csv", "faces.parquet", "failures.csv")


@dataclass(frozen=True)
class Wanted:
    """What a run makes its results of.

    `sources` gives for each source, and `summary` for merge, what their JSON files must say that
    they were made of. A run with `replace` may replace the results of other photos. The results of
    the bundled `sample` (a path) may always be replaced.
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
        """Read a JSON object; an empty one if the file is damaged, None if it is missing."""

    def sources(self) -> list[str]:
        """Give the names of the sources whose JSON files are known."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

    def outdate(self, path: str) -> None:
        """Have Snakemake make a file again."""

    def clear(self) -> None:
        """Remove what jobs made of earlier photos."""

    def forget(self) -> None:
        """Remove copies that an earlier run has left, where results are elsewhere."""


class LocalResults:
    """Results in a folder, with the records of what jobs made (see integrity)."""

    def __init__(self, folder: Path, records: Path, name: str | None = None) -> None:
        self.name = name or str(folder)
        self._folder, self._records = folder, records

    def read(self, path: str) -> dict[str, Any] | None:
        """Read a JSON object; an empty one if the file is damaged, None if it is missing."""
        try:
            content: Any = read_json(self._folder / path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def sources(self) -> list[str]:
        """Give the names of the sources whose JSON files are there."""
        return sorted(file.stem for file in self._folder.glob("sources/*.json"))

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        remove(self._folder / path)

    def outdate(self, path: str) -> None:
        """Have a file look older than what it is made of."""
        with suppress(FileNotFoundError):
            os.utime(self._folder / path, (1, 1))

    def clear(self) -> None:
        """Remove the files that jobs made, but for models, and Snakemake's own report."""
        models = self._folder / "models"
        for file in map(Path, recorded_files(self._records)):
            if file.is_relative_to(self._folder) and not file.is_relative_to(models):
                remove(file)
        self.remove("provenance.html")

    def forget(self) -> None:
        """Do nothing: there are no copies."""


@dataclass(frozen=True)
class Records:
    """The summary, and the JSON files of the sources by name, as a run finds them at its start.

    A missing file is None, a damaged one is empty. `split` names the sources that may have results:
    all if there is a summary, or else those whose photos are in shards.
    """

    summary: dict[str, Any] | None
    sources: Mapping[str, dict[str, Any] | None]
    split: frozenset[str]

    @classmethod
    def read(cls, results: Results, wanted: Wanted) -> "Records":
        """Read the files of the known and of the wanted sources."""
        names = sorted({*results.sources(), *wanted.sources})
        sources = {name: results.read(f"sources/{name}.json") for name in names}
        summary = results.read(SUMMARY)
        split = (
            name
            for name in names
            if summary is not None
            or any(results.read(path) is not None for path in _counts_of(name))
        )
        return cls(summary, sources, frozenset(split))

    @property
    def photos(self) -> list[str]:
        """The paths and URLs whose results there are.

        A source that was never split has none: a run of a folder without photos leaves nothing.
        """
        summary = self.summary or {}
        merged = summary.get("sources")
        read = [self.sources[name] for name in self.sources if name in self.split]
        records = [*(merged.values() if isinstance(merged, dict) else ()), *read]
        photos = [_made_of(record).get("photos") for record in records]
        if not any(photos):
            photos = _photos_of_old_summary(summary)
        return list(dict.fromkeys(str(source) for source in photos if source))


def check_photos(records: Records, wanted: Wanted, results: str) -> None:
    """Raise UserError where these are results of other photos that the run may not replace.

    `results` is their folder or address.
    """
    own = [source for source in records.photos if source != wanted.sample]
    others = [source for source in own if source not in wanted.photos]
    if others and not wanted.replace:
        config = config_argument("photos", own)
        raise UserError(
            f"{results} holds the results of {', '.join(others)}, which a run of "
            f"{', '.join(wanted.photos)} would replace; to continue with those, use "
            f"`--config {config}`, name another folder by --directory, or add replace=true"
        )


def check_exclude(records: Records, wanted: Wanted, results: str) -> None:
    """Raise UserError where a run without `exclude` would take excluded photos in again.

    `results` is the folder or address of the results.
    """
    known = [_made_of(record) for record in records.sources.values()]
    is_given = any("exclude" in made_of for made_of in wanted.sources.values())
    if any("exclude" in made_of for made_of in known) and not is_given and not wanted.replace:
        raise UserError(
            f"{results} leaves out the photos that `exclude` named, which this run would take in"
            " again; give the list with --config exclude=, or add replace=true"
        )


def outdated_sources(records: Records, wanted: Wanted) -> list[str]:
    """Give the wanted sources that Snakemake must read again: their files say something else.

    Without any results there are none, because Snakemake makes what is missing.
    """
    if all(record is None for record in (records.summary, *records.sources.values())):
        return []
    return [
        name
        for name, made_of in wanted.sources.items()
        if _made_of(records.sources[name]) != made_of
    ]


def remove_outdated(results: Results, records: Records, wanted: Wanted) -> None:
    """Remove results of other photos, and have Snakemake merge again if a run wants it otherwise.

    The summary stays until merge writes a new one, because it says whose results these are.
    """
    if any(source not in wanted.photos for source in records.photos):
        results.clear()
    for name in records.sources.keys() - wanted.sources.keys():
        results.remove(f"sources/{name}.json")
    if _made_of(records.summary) != wanted.summary:
        for file in MERGED:
            results.outdate(file)


def _counts_of(source: str) -> tuple[str, str]:
    """Give the files with the counts of a source that was split: in one go, or in parts."""
    return f"shards/{source}-0.json", f"parts/{source}.json"


def _photos_of_old_summary(summary: Mapping[str, Any]) -> list[Any]:
    """Give the photos in a summary of a version that did not write `made_of`."""
    config = summary.get("config")
    given = config.get("photos") if isinstance(config, dict) else None
    photos = given if isinstance(given, list) else [given]
    places = [one.get("photos") if isinstance(one, dict) else one for one in photos]
    return [
        place if "://" in place else str(Path(from_home(place)).resolve())
        for place in map(str, filter(None, places))
        if place != "sample/sample.tar.gz"
    ]


def _made_of(record: object) -> dict[str, Any]:
    made_of = record.get("made_of") if isinstance(record, dict) else None
    return made_of if isinstance(made_of, dict) else {}
