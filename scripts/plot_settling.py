"""Draw how the mean settles as photos are added, and write the curve as a table."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from meanface.files.parquet import read_frame
from meanface.files.schemas import SETTLING
from meanface.files.tables import rows_of, write_table
from meanface.report.figures import BLUE, VERMILLION, new_figure, save
from meanface.report.selection import counted
from meanface.results.settling import settling_curve
from meanface.results.statistics import read_statistics
from meanface.workflow.job import job

MOST = 100_000  # embeddings in memory
POINTS = 200


def draw(curve: pd.DataFrame, total: int, error: float) -> Figure:
    # A log scale has no 0, and both distances are 0 when k is the number of all faces.
    curve = curve[(curve["faces"] < total) & (curve["distance"] > 0)]
    if curve.empty:
        return new_figure("All faces have the same embedding, so the mean does not change", 0.6)
    figure = new_figure(
        f"More faces like these {total:,} are expected to move the mean by up to {error:.2g}"
    )
    axes = figure.subplots()
    axes.plot(curve["faces"], curve["distance"], color=BLUE, linewidth=2, label="measured")
    axes.plot(
        curve["faces"],
        curve["chance"],
        "--",
        color=VERMILLION,
        label="expected by chance: falls as 1/√k, and to 0 for all faces",
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda faces, _: f"{faces:,.0f}")
    axes.yaxis.set_major_formatter(lambda distance, _: f"{distance:g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.set_xlabel("number of faces, k, in random order (log scale)")
    axes.set_ylabel("distance of the mean of k faces\nto the mean of all (no unit, log scale)")
    axes.legend()
    return figure


with job(snakemake.log[0], snakemake.output):
    embeddings = np.load(snakemake.input.embeddings, mmap_mode="r", allow_pickle=False)
    statistics = read_statistics(Path(snakemake.input.statistics))
    faces = read_frame(Path(snakemake.input.faces), ["duplicate_of"])
    rows = counted(faces, snakemake.params.deduplicate).index.to_numpy()
    curve = settling_curve(embeddings, rows, statistics, most=MOST, points=POINTS)
    write_table(Path(snakemake.output.table), SETTLING, rows_of(curve))
    figure = draw(curve, statistics.count, statistics.error_of_mean)
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg))
