"""Remove files that show photos or names (`pictures`, `paths: false`), and old outcomes."""

from collections.abc import Iterable
from pathlib import Path

from meanface.report.text import NAMED

# The mark of a photo in each report. Snakemake's own report has only photos as PNG.
_PHOTO_IN = {"report.html": b"data:image/webp", "provenance.html": b'"mime_type": "image/png"'}
# What the overview holds if it names the source. Figures hold NAMED.
_MARKS = {"overview.json": b'"source": ', "overview.rst": b"* - source\n"}


def remove_photos(results: Path, pictures: Iterable[str]) -> None:
    """Remove parts, shards, downloads, query photos, `pictures` by name, and reports with photos.

    These files may come from an earlier run. Missing files are no error.
    """
    patterns = [
        "parts/*.tar*",
        "shards/*.tar*",
        "download/*/*",
        "query/*.tar*",
        *(f"pictures/{name}.*" for name in pictures),
    ]
    found = [path for pattern in patterns for path in results.glob(pattern)]
    for name, mark in _PHOTO_IN.items():
        report = results / name
        if report.exists() and mark in report.read_bytes():
            found.append(report)
    for path in found:
        path.unlink()


def remove_names(results: Path) -> None:
    """Remove pictures and a report that show names (`paths: false`).

    Snakemake's own report goes as well if it may be made of such pictures.
    """
    pictures = [path for path in (results / "pictures").glob("*.*") if path.is_file()]
    named = [path for path in pictures if _shows_names(path)]
    own = results / "provenance.html"
    if own.exists():
        made = own.stat().st_mtime
        if named or any(path.stat().st_mtime > made for path in pictures):
            named.append(own)
    report = results / "report.html"
    if report.exists() and _shows_names(report):
        named.append(report)
    for path in named:
        path.unlink()


def _shows_names(picture: Path) -> bool:
    return _MARKS.get(picture.name, NAMED.encode()) in picture.read_bytes()


def remove_other_outcomes(results: Path, kept: Iterable[Path]) -> None:
    """Remove outcomes of other engines and plans, with their logs and benchmarks.

    `kept` lists files of the outcomes to keep, named `<shard>.<key>.<kind>`.
    """
    names = {file.stem for file in kept}
    for folder in ("encoded", "logs/encode", "benchmarks/encode"):
        for file in (results / folder).glob("*.*.*"):
            if file.stem not in names:
                file.unlink()
