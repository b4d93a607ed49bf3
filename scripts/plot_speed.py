"""Draw the photos per second of every encode job."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from meanface.report.figures import BLUE, VERMILLION, new_figure, save
from meanface.results.shard_report import read_report
from meanface.workflow.job import job

FEW = 8  # the axis shows the names of at most this many shards


def draw(rates: pd.Series) -> Figure:
    if rates.empty:
        return new_figure("No photo was encoded: all outcomes came from the cache", 0.6)
    median, slowest = rates.median(), str(rates.idxmin())
    figure = new_figure(
        f"{median:,.1f} photos per second in the median encode job,"
        f" {rates[slowest]:,.1f} in the slowest (shard {slowest})"
    )
    axes = figure.subplots()
    places = range(len(rates))
    axes.plot(places, rates, "o", color=BLUE, markersize=5 if len(rates) < 100 else 2)
    axes.axhline(median, color=VERMILLION, linewidth=2, label="median")
    axes.set_ylim(0, 1.1 * rates.max())
    if len(rates) <= FEW:
        axes.set_xticks(places, rates.index)
        axes.set_xlabel("shard")
    else:
        axes.set_xlabel(f"place of the shard, from {rates.index[0]} to {rates.index[-1]}")
    axes.set_ylabel("photos per second")
    axes.legend(loc="lower right")
    return figure


with job(snakemake.log[0], snakemake.output):
    files = [Path(file) for file in snakemake.input.counts]
    reports = {file.name.partition(".")[0]: read_report(file) for file in files}
    rates = pd.Series(
        {
            shard: report.newly_encoded / report.seconds_encoding
            for shard, report in reports.items()
            if report.newly_encoded
        },
        dtype=float,
    )
    paths = snakemake.params.paths
    if not paths:  # the name of a shard begins with that of its source
        rates.index = [f"{number}" for number in range(1, len(rates) + 1)]
    save(draw(rates), Path(snakemake.output.png), Path(snakemake.output.svg), named=paths)
