"""Remove what shows photos, for runs that are to leave no pixel of any."""

from collections.abc import Iterable
from pathlib import Path

# By which Snakemake's report says that it holds a PNG; figures of numbers are in it as SVG.
_PNG_IN_REPORT = b'"mime_type": "image/png"'


def remove_photos(results: Path, pictures: Iterable[str]) -> None:
    """Remove parts, shards, downloads, the `pictures` of these names, and a report that holds some.

    They may be an earlier run's. Where there are none, nothing happens.
    """
    patterns = [
        "parts/*.tar*",
        "shards/*.tar*",
        "download/*/*",
        *(f"pictures/{name}.*" for name in pictures),
    ]
    found = [path for pattern in patterns for path in results.glob(pattern)]
    report = results / "report.html"
    if report.exists() and _PNG_IN_REPORT in report.read_bytes():
        found.append(report)
    for path in found:
        path.unlink()


def remove_other_outcomes(results: Path, kept: Iterable[Path]) -> None:
    """Remove outcomes of other engines and plans, with their logs and benchmarks.

    `kept` are files of the outcomes that stay, named `<shard>.<key>.<kind>`.
    """
    names = {file.stem for file in kept}
    for folder in ("encoded", "logs/encode", "benchmarks/encode"):
        for file in (results / folder).glob("*.*.*"):
            if file.stem not in names:
                file.unlink()
