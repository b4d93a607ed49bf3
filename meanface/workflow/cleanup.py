"""Remove files that show photos (`pictures: false`), and outcomes that are out of date."""

from collections.abc import Iterable
from pathlib import Path

# Marks a PNG in Snakemake's report. Only photos are PNG there: figures of numbers are SVG.
_PNG_IN_REPORT = b'"mime_type": "image/png"'


def remove_photos(results: Path, pictures: Iterable[str]) -> None:
    """Remove parts, shards, downloads, the pictures named `pictures`, and a report with photos.

    These files may come from an earlier run. Missing files are no error.
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

    `kept` lists files of the outcomes to keep, named `<shard>.<key>.<kind>`.
    """
    names = {file.stem for file in kept}
    for folder in ("encoded", "logs/encode", "benchmarks/encode"):
        for file in (results / folder).glob("*.*.*"):
            if file.stem not in names:
                file.unlink()
