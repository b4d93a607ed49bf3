"""Turns summary.json into the lines that a run shows at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meanface.engine.settings import licence_note
from meanface.wording import number_of

# How large the photos were in which a detector searched, by the end of the detector's name.
_SIZES = {"@0": "@0: photo not enlarged", "@1": "@1: doubled in size"}


def summary_text(summary: Mapping[str, Any], results: Path | str, run: str) -> str:
    """Give the lines shown at the end of a run; `results` is the folder or address of its files.

    What is new, how fast it came, and trouble with the cache are shown only at the end of the `run`
    in which it happened.
    """
    counts = summary["skipped"]
    skipped = sum(counts.values()) - counts.get("directory", 0) - counts.get("excluded", 0)
    found = summary["faces_by_detector"]
    sizes = [text for end, text in _SIZES.items() if any(name.endswith(end) for name in found)]
    lines = [
        (
            "photos",
            f"{summary['photos']:,}"
            + (f" ({number_of(skipped, 'other file')} skipped)" * bool(skipped)),
        ),
        ("encoded", f"{summary['encoded']:,}" + _by(found, sizes)),
        ("failed", f"{summary['failed']:,}" + _by(summary["failed_by_reason"])),
    ]
    if excluded := counts.get("excluded"):
        names = " and ".join(str(source["name"]) for source in summary["sources"].values())
        one, more = "photo (excluded.csv), which is", "photos (excluded.csv), which are"
        told = f"{number_of(excluded, one, more)} still in {names} itself"
        lines.insert(1, ("excluded", told))
    if summary["failed"]:
        lines.append(("", f"why: {results}/failures.csv"))
    is_new = summary.get("run") == run
    if is_new:
        new, reused = summary["newly_encoded"], summary["reused"]
        alike = "; identical photos count once" * bool(summary["duplicates"])
        lines.append(("new", f"{new:,}, and {reused:,} reused{alike}"))
        if summary["photos_per_second"]:
            speed = f"{summary['photos_per_second']:,.1f} photos per second and worker"
            lines.append(("speed", speed))
    faces = "faces.csv" if summary["config"]["faces_csv"] else "faces.parquet"
    lines.append(("results", f"{results}/ (mean.npy, embeddings.npy, {faces}, failures.csv)"))
    if summary["config"]["encoder"] == "stub":
        lines.append(("stub", "made-up faces; the report and the pictures show no photo"))
    if summary["config"]["precision"] == "int8":
        lines.append(("int8", "embeddings differ from those of float32 by about 0.03"))
    if note := licence_note(summary["config"]):
        lines.append(("licence", note))
    if is_new and summary["cache_trouble"]:
        lines.append(("cache", summary["cache_trouble"]))
    report = Path(results, "report.html")
    if report.exists() and report.stat().st_mtime >= Path(results, "summary.json").stat().st_mtime:
        lines.append(("report", str(report)))
    return "\n".join(f"{name:>8}  {value}" for name, value in lines)


def _by(counts: Mapping[str, int], notes: Sequence[str] = ()) -> str:
    inside = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    explained = "; " * bool(notes) + ", ".join(notes)
    return f" ({inside}{explained})" if inside else ""
