"""The plan stage: which shard encodes which content. Identical photos are encoded once."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from meanface.errors import AccountingError
from meanface.files.schemas import CONTENTS, PLAN, Schema
from meanface.files.tables import read_rows, write_table
from meanface.shards.manifest import read_manifest


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
    earlier shard encodes. Planning takes 130 bytes of memory per content.

    Raises AccountingError where a table is damaged.
    """
    rows: list[tuple[str, int, str]] = []

    def others() -> Iterator[tuple[str, str]]:
        for shard, contents, known in _planned(tables):
            rows.append((shard, len(contents), name_of(contents)))
            yield from ((shard, content) for content in known)

    write_table(duplicates, CONTENTS, others())
    write_table(shards, PLAN, rows)
    return sum(count for _, count, _ in rows)


class Planned(NamedTuple):
    """The number and the name of the contents that a shard encodes."""

    contents: int
    name: str


def read_plan(shards: Path) -> dict[str, Planned]:
    """Read the table `shards` of a plan, by shard. Raises AccountingError: the table is damaged."""
    return {shard: Planned(contents, name) for shard, contents, name in _read(shards, PLAN)}


def contents_by_shard(tables: Sequence[Path]) -> Iterator[list[str]]:
    """Yield the contents that each shard encodes, for shards with photos, as contents_of does."""
    return (contents for _, contents, _ in _planned(tables))


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


def _planned(tables: Sequence[Path]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each shard, the contents that it encodes, and those that an earlier shard encodes."""
    before: set[bytes] = set()
    for table in tables:
        for shard, rows in groupby(_read(table, CONTENTS), key=itemgetter(0)):
            found = {_digest(table, content) for _, content in rows}
            new = found - before
            known = found - new
            before |= new
            yield shard, _in_hex(new), _in_hex(known)


def _digest(table: Path, content: str) -> bytes:
    try:
        return bytes.fromhex(content)
    except ValueError as error:
        raise AccountingError(f"{table} is damaged: {error}") from error


def _in_hex(contents: set[bytes]) -> list[str]:
    return sorted(content.hex() for content in contents)


def _read(table: Path, schema: Schema) -> Iterator[list[Any]]:
    with table.open(encoding="utf-8", newline="") as stream:
        try:
            yield from read_rows(stream, schema)
        except ValueError as error:
            raise AccountingError(f"{table} is damaged: {error}") from error
