"""Draw how many faces each detector found, and why photos failed."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from meanface.files.json_files import read_json
from meanface.report.figures import BLUE, VERMILLION, new_figure, save
from meanface.wording import number_of
from meanface.workflow.job import job


def draw(summary: dict[str, Any]) -> Figure:
    found, failed = summary["faces_by_detector"], summary["failed_by_reason"]
    faces, photos = summary["faces"], summary["photos"]
    first = max(found, key=lambda name: found[name])
    figure = new_figure(
        f"{first} found {100 * found[first] / faces:.1f} % of {number_of(faces, 'face')};"
        f" {summary['failed']:,} of {number_of(photos, 'photo')} failed",
        1.1 + 0.32 * (len(found) + len(failed)),
    )
    axes = figure.subplots()
    for counts, whole, colour, what in (
        (found, faces, BLUE, "faces, by the detector that found them"),
        (failed, photos, VERMILLION, "photos that failed, by reason"),
    ):
        if counts:
            bars = axes.barh(list(counts), list(counts.values()), color=colour, label=what)
            labels = [f"{count:,} ({100 * count / whole:.1f} %)" for count in counts.values()]
            axes.bar_label(bars, labels, padding=3)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.2)
    axes.locator_params(axis="x", integer=True)
    axes.xaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    or_failed = f" or failed photos (% of {number_of(photos, 'photo')})" if failed else ""
    axes.set_xlabel(f"faces (% of {number_of(faces, 'face')})" + or_failed)
    axes.legend(loc="lower right")
    return figure


with job(snakemake.log[0], snakemake.output):
    figure = draw(read_json(Path(snakemake.input.summary)))
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg))
