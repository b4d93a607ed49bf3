"""Draw how far from the mean the embeddings lie, as a histogram."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from meanface.files.parquet import read_frame
from meanface.report.figures import BLUE, PALE, VERMILLION, new_figure, save
from meanface.workflow.job import job


def draw(distances: pd.Series) -> Figure:
    low, median, high = distances.quantile([0.05, 0.5, 0.95])
    figure = new_figure(
        f"Half of the faces lie within {median:.2f} of the mean, nine in ten between {low:.2f} and"
        f" {high:.2f}"
    )
    axes = figure.subplots()
    axes.axvspan(low, high, color=PALE, label="nine in ten")
    axes.hist(distances, bins=min(100, max(10, int(len(distances) ** 0.5))), color=BLUE)
    axes.axvline(median, color=VERMILLION, linewidth=2, label="median")
    axes.set_xlabel("Euclidean distance of an embedding to the mean (no unit)")
    axes.set_ylabel("faces")
    axes.locator_params(axis="y", integer=True)
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axes.legend()
    return figure


with job(snakemake.log[0], snakemake.output):
    distances = read_frame(Path(snakemake.input.faces), ["distance"])["distance"]
    save(draw(distances), Path(snakemake.output.png), Path(snakemake.output.svg))
