"""Turns summary.json into the lines that a run shows at its end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meanface.engine.settings import licence_note


def summary_text(summary: Mapping[str, Any], results: Path | str, run: str) -> str:
    """Give the lines shown at the end of a run; `results` is the folder or address of its files.

    Trouble with the cache is shown only at the end of the `run` in which it happened.
    """
    skipped = sum(count for kind, count in summary["skipped"].items() if kind != "directory")
    lines = [
        (
            "photos",
            f"{summary['photos']:,}" + (f" ({skipped:,} other files skipped)" * bool(skipped)),
        ),
        ("encoded", f"{summary['encoded']:,}" + _by(summary["faces_by_detector"])),
        ("failed", f"{summary['failed']:,}" + _by(summary["failed_by_reason"])),
        ("results", f"{results}/ (mean.npy, embeddings.npy, faces.csv, failures.csv)"),
    ]
    if summary["photos_per_second"]:  # else all outcomes came from the cache
        speed = f"{summary['photos_per_second']:,.1f} photos per second and worker"
        lines.insert(3, ("speed", speed))
    if note := licence_note(summary["config"]):
        lines.append(("licence", note))
    if summary.get("run") == run and summary["cache_trouble"]:
        lines.append(("cache", summary["cache_trouble"]))
    report = Path(results, "report.html")
    if report.exists() and report.stat().st_mtime >= Path(results, "summary.json").stat().st_mtime:
        lines.append(("report", str(report)))
    return "\n".join(f"{name:>8}  {value}" for name, value in lines)


def _by(counts: Mapping[str, int]) -> str:
    inside = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f" ({inside})" if inside else ""
