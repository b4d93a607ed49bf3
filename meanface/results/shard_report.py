"""The report of an encode job, results/encoded/<shard>.<key>.json, which merge reads."""

from dataclasses import asdict, dataclass
from pathlib import Path

from meanface.files.json_files import read_json, write_json


@dataclass(frozen=True)
class ShardCounts:
    """What came of a shard: contents = encoded + failed = reused + newly_encoded.

    `faces` are those of all encoded contents. `seconds_encoding` is the time that the newly encoded
    contents took, start of the engine and reading included.
    """

    contents: int
    encoded: int
    failed: int
    faces: int
    reused: int
    newly_encoded: int
    seconds_encoding: float


@dataclass(frozen=True)
class ShardReport(ShardCounts):
    """The counts of a shard, and the job that wrote them.

    `seconds` is the time of the whole job, `run` identifies the run that it belonged to,
    `cache_trouble` says in a line what went wrong with the cache. `sha256` (hexadecimal) has the
    digests of the files "embeddings" and "outcomes". `fingerprint` identifies the engine.
    """

    seconds: float
    run: str
    cache_trouble: str | None
    sha256: dict[str, str]
    fingerprint: str


def write_report(target: Path, report: ShardReport) -> None:
    """Write a report as JSON."""
    write_json(target, asdict(report))


def read_report(source: Path) -> ShardReport:
    """Read what write_report wrote."""
    return ShardReport(**read_json(source))
