"""The plan stage: which shard encodes which content. Identical photos are encoded once."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from meanface.errors import AccountingError
from meanface.shards import read_manifest
from meanface.tables import write_table

SHARDS = ("shard", "contents", "name")
DUPLICATES = ("shard", "sha256")


def plan(manifests: Sequence[Path], shards: Path, duplicates: Path) -> int:
    """Write what each shard is to encode, and what it is not; give the number of contents.

    The table `shards` has a row per manifest: how many `contents` the shard encodes, and their
    name, by which a shard that is to be encoded anew is told from one that is not. The table
    `duplicates` names the contents of a shard that one before it encodes. Takes 130 bytes of memory
    per content.

    Raises AccountingError where a manifest is damaged.
    """
    rows: list[tuple[str, int, str]] = []

    def others() -> Iterator[tuple[str, str]]:
        for manifest, contents, known in _planned(manifests):
            rows.append((manifest.stem, len(contents), name_of(contents)))
            yield from ((manifest.stem, content) for content in known)

    write_table(duplicates, DUPLICATES, others())
    write_table(shards, SHARDS, rows)
    return sum(count for _, count, _ in rows)


class Planned(NamedTuple):
    """What a shard is to encode: the number and the name of its contents."""

    contents: int
    name: str


def read_plan(shards: Path) -> dict[str, Planned]:
    """Read the table `shards` of a plan, by shard. AccountingError: it is damaged."""
    rows = _read(shards, SHARDS)
    try:
        return {shard: Planned(int(contents), name) for shard, contents, name in rows}
    except ValueError as error:
        raise AccountingError(f"{shards} is damaged: {error}") from error


def contents_by_shard(manifests: Sequence[Path]) -> Iterator[list[str]]:
    """Give for each shard the contents that it encodes, as contents_of does."""
    return (contents for _, contents, _ in _planned(manifests))


def contents_of(manifest: Path, duplicates: Path) -> list[str]:
    """Give the contents (sha256, hexadecimal, sorted) that the shard of a manifest is to encode.

    A photo that was too large to be read has no known content and is not among them.

    Raises AccountingError where a file is damaged.
    """
    others = {content for shard, content in _read(duplicates, DUPLICATES) if shard == manifest.stem}
    return sorted({row.sha256 for row in read_manifest(manifest) if row.sha256} - others)


def name_of(contents: Sequence[str]) -> str:
    """Give the name of contents: the sha256 (hexadecimal) of their list, a line each."""
    lines = chain.from_iterable((content, "\n") for content in contents)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _planned(manifests: Sequence[Path]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Give each manifest, the contents that its shard encodes, and those that one before does."""
    before: set[bytes] = set()
    for manifest in manifests:
        found = {bytes.fromhex(row.sha256) for row in read_manifest(manifest) if row.sha256}
        new = found - before
        known = found - new
        before |= new
        yield manifest, _in_hex(new), _in_hex(known)


def _in_hex(contents: set[bytes]) -> list[str]:
    return sorted(content.hex() for content in contents)


def _read(source: Path, columns: Sequence[str]) -> Iterator[list[str]]:
    """Give the rows of a table of text without line ends."""
    with source.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream, strict=True)
        try:
            if tuple(next(rows, ())) != columns:
                raise ValueError(f"its columns are not {', '.join(columns)}")
            for row in rows:
                if len(row) != len(columns):
                    raise ValueError(f"a row is {row}")
                yield row
        except (ValueError, csv.Error) as error:
            raise AccountingError(f"{source} is damaged: {error}") from error
