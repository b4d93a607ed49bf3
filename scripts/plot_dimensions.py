"""Draw the 128 means with their standard error."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meanface.report.figures import BLUE, VERMILLION, new_figure, save
from meanface.results.statistics import read_statistics
from meanface.workflow.job import job


def draw(mean: NDArray[np.float64], error: NDArray[np.float64], count: int) -> Figure:
    figure = new_figure(
        f"The {len(mean)} means of {count:,} faces;"
        f" their median standard error is {np.median(error):.2g}"
        if count > 1
        else f"The {len(mean)} means of a single face, whose standard error is unknown",
        5,
    )
    means, errors = figure.subplots(2, sharex=True, height_ratios=[3, 2])
    places = np.arange(len(mean))
    means.errorbar(
        places,
        mean,
        error,
        fmt="o",
        markersize=2.5,
        color=BLUE,
        ecolor=VERMILLION,
        elinewidth=1.5,
        label="mean with its standard error on both sides",
    )
    means.axhline(0, color="black", linewidth=0.8)
    means.set_ylabel("mean (no unit)")
    means.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    errors.bar(places, error, color=VERMILLION)
    errors.set_ylabel("standard error (no unit)")
    errors.set_xlabel("dimension of the embedding")
    errors.set_xlim(-1, len(mean))
    return figure


with job(snakemake.log[0], snakemake.output):
    statistics = read_statistics(Path(snakemake.input.statistics))
    error = np.nan_to_num(statistics.standard_error)  # unknown for a single face
    figure = draw(statistics.mean, error, statistics.count)
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg))
