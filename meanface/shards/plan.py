"""The plan stage: which shard encodes which content. Identical photos are encoded once."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from meanface.errors import AccountingError
from meanface.files.schemas import CONTENTS, PLAN, Schema
from meanface.files.scratch import Scratch, scratch
from meanface.files.tables import read_rows, write_table
from meanface.shards.manifest import read_manifest

# Shards are in the order of their rows. The first shard that holds a content encodes the content.
_PLANNED = """
    WITH shards AS (SELECT shard, min(rowid) AS place FROM contents GROUP BY shard),
    shared AS (
        SELECT sha256, min(place) AS first FROM contents JOIN shards USING (shard)
        GROUP BY sha256 HAVING count(*) > 1
    )
    SELECT shard, lower(hex(sha256)), first IS NULL OR place = first
    FROM contents JOIN shards USING (shard) LEFT JOIN shared USING (sha256)
    ORDER BY place, sha256
"""


def write_contents(manifests: Sequence[Path], target: Path) -> None:
    """Write the table CONTENTS of some shards, from their manifests, to `target`.

    A photo that was not read has no known content. Raises AccountingError where a manifest is
    damaged.
    """
    rows = (
        (manifest.stem, content)
        for manifest in manifests
        for content in sorted({row.sha256 for row in read_manifest(manifest) if row.sha256})
    )
    write_table(target, CONTENTS, rows)


def plan(tables: Sequence[Path], shards: Path, duplicates: Path) -> int:
    """Write which shard encodes which contents; give the number of different contents.

    `tables` are from write_contents. The table `shards`, PLAN, has a row per shard with photos: the
    number of contents that the shard encodes, and their name, see name_of. A shard is encoded again
    when this name changes. The table `duplicates`, CONTENTS, has the contents of each shard that an
    earlier shard encodes. Planning takes a gigabyte of memory for any number of contents.

    Raises AccountingError where a table is damaged.
    """
    rows: list[tuple[str, int, str]] = []

    def others(database: Scratch) -> Iterator[tuple[str, str]]:
        for shard, contents, known in _planned(database):
            rows.append((shard, len(contents), name_of(contents)))
            yield from ((shard, content) for content in known)

    with scratch(shards) as database:
        # In binary, a sha256 takes half the room.
        database.read("contents", tables, CONTENTS, "shard, unhex(sha256) AS sha256")
        write_table(duplicates, CONTENTS, others(database))
    write_table(shards, PLAN, rows)
    return sum(count for _, count, _ in rows)


class Planned(NamedTuple):
    """The number and the name of the contents that a shard encodes."""

    contents: int
    name: str


def read_plan(shards: Path) -> dict[str, Planned]:
    """Read the table `shards` of a plan, by shard. Raises AccountingError: the table is damaged."""
    return {shard: Planned(contents, name) for shard, contents, name in _read(shards, PLAN)}


def contents_of(manifest: Path, duplicates: Path) -> list[str]:
    """Give the contents (sha256, hexadecimal, sorted) that the shard of a manifest encodes.

    A photo that was not read has no known content and is left out.

    Raises AccountingError where a file is damaged.
    """
    others = {content for shard, content in _read(duplicates, CONTENTS) if shard == manifest.stem}
    return sorted({row.sha256 for row in read_manifest(manifest) if row.sha256} - others)


def name_of(contents: Sequence[str]) -> str:
    """Give the name of contents: the sha256 (hexadecimal) of a text with one content per line."""
    lines = chain.from_iterable((content, "\n") for content in contents)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


NOTHING = name_of([])
"""The name of an empty list: such a shard encodes nothing."""


def outcome_key(fingerprint: str, name: str) -> str:
    """Give the part of a file name that identifies the engine and the contents of outcomes.

    `fingerprint` is from EngineSettings.fingerprint, `name` from name_of. Both are hexadecimal.
    """
    return f"{fingerprint[:12]}-{name[:12]}"


def _planned(database: Scratch) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each shard, the contents that it encodes, and those that an earlier shard encodes."""
    for shard, theirs in groupby(database.tuples(_PLANNED), key=itemgetter(0)):
        new: list[str] = []
        known: list[str] = []
        for _, content, is_new in theirs:
            (new if is_new else known).append(content)
        yield shard, new, known


def _read(table: Path, schema: Schema) -> Iterator[list[Any]]:
    with table.open(encoding="utf-8", newline="") as stream:
        try:
            yield from read_rows(stream, schema)
        except ValueError as error:
            raise AccountingError(f"{table} is damaged: {error}") from error
