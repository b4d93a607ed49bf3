"""Draw the DET curve: false non-match rate over false match rate, as PNG and SVG."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from meanface.files.json_files import read_json
from meanface.files.schemas import VERIFICATION
from meanface.files.tables import read_table
from meanface.report.figures import BLUE, VERMILLION, new_figure, save, show_percent
from meanface.wording import number_of
from meanface.workflow.job import job

STYLES = ("-", "--", ":", "-.")  # of groups, which differ in style too, for print and for all eyes


def draw(summary: dict[str, Any], table: pd.DataFrame) -> Figure:
    known = [at for at in summary["at_fmr"] if at["fnmr"]]
    figure = new_figure(_title(known[0]) if known else "Error rates of all pairs", height=4.8)
    axes = figure.subplots()
    # A log scale has no 0.
    seen = table[(table["fmr"] > 0) & (table["fnmr"] > 0)]
    everyone = seen[seen["group"] == ""]
    axes.fill_between(
        everyone["fmr"],
        everyone["fnmr_low"].clip(lower=everyone["fnmr"].min() / 2),
        everyone["fnmr_high"],
        color=BLUE,
        alpha=0.2,
        linewidth=0,
        label=f"interval of {100 * summary['interval']:.0f} %, by person",
    )
    axes.plot(everyone["fmr"], everyone["fnmr"], color=BLUE, linewidth=2, label="all photos")
    for number, name in enumerate(summary["groups"]):
        rows = seen[seen["group"] == name]
        style = STYLES[number % len(STYLES)]
        axes.plot(rows["fmr"], rows["fnmr"], f"C{number + 1}{style}", linewidth=1.2, label=name)
    axes.plot(
        [at["fmr"] for at in known],
        [at["fnmr"] for at in known],
        "o",
        color=VERMILLION,
        clip_on=False,
    )
    for at in known:
        axes.annotate(
            f"{at['threshold']:.3f}",
            (at["fmr"], at["fnmr"]),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize="small",
        )
    if seen.empty:
        axes.set_xlim(1 / max(summary["nonmated_pairs"], 2), 1)
        axes.set_ylim(1 / max(summary["mated_pairs"], 2), 1)
        axes.text(0.5, 0.5, "One threshold mistakes nobody.", transform=axes.transAxes, ha="center")
    axes.set_xscale("log")
    axes.set_yscale("log")
    show_percent(axes)
    axes.set_xlabel("false match rate: two persons match (log scale)")
    axes.set_ylabel("false non-match rate: one person does not match (log scale)")
    axes.legend(loc="best", fontsize="small")
    axes.set_title(
        f"{number_of(summary['mated_pairs'], 'pair')} of one person,"
        f" {summary['nonmated_pairs']:,} of two; the numbers are distances"
    )
    return figure


def _title(at: dict[str, Any]) -> str:
    rarely = f"At 1 false match in {1 / at['target']:,.0f}"
    return f"{rarely}, {100 * at['fnmr']:.2g} % of pairs of one person are missed"


with job(snakemake.log[0], snakemake.output):
    table = read_table(Path(snakemake.input.table), VERIFICATION, gaps=True)
    figure = draw(read_json(Path(snakemake.input.summary)), table)
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg))
