"""Draw the ROC curve of the scored pairs, as PNG and SVG."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from meanface.files.json_files import read_json
from meanface.files.schemas import ROC
from meanface.files.tables import read_table
from meanface.report.figures import BLUE, VERMILLION, new_figure, save, show_percent
from meanface.wording import number_of
from meanface.workflow.job import job


def draw(result: dict[str, Any], roc: pd.DataFrame) -> Figure:
    figure = new_figure(
        f"{100 * result['accuracy']:.2f} % of pairs called correctly,"
        f" area under the curve {result['auc']:.4f}",
        height=4.8,
    )
    axes = figure.subplots()
    false_rate, true_rate = roc["false_positive_rate"], roc["true_positive_rate"]
    # A log scale has no 0: a rate of 0 is drawn at the left edge, half the smallest other rate.
    left = false_rate[false_rate > 0].min() / 2
    visible = false_rate.clip(lower=left)
    axes.plot(visible, true_rate, color=BLUE, linewidth=2)

    threshold = sum(fold["threshold"] for fold in result["folds"]) / len(result["folds"])
    chosen = roc["threshold"].searchsorted(threshold, side="right") - 1
    axes.plot(
        visible[chosen],
        true_rate[chosen],
        "o",
        color=VERMILLION,
        clip_on=False,
        label=f"at the folds' mean threshold, {threshold:.3f}",
    )
    axes.legend(loc="best")

    axes.set_xscale("log")
    axes.set_xlim(left, 1)
    # The axis begins where the curve does.
    bottom = true_rate[false_rate > 0].min() // 0.1 * 0.1
    axes.set_ylim(bottom, 1 + (1 - bottom) / 50)
    show_percent(axes)
    axes.set_xlabel("false positive rate: different persons called the same (log scale)")
    axes.set_ylabel("true positive rate: same person called the same")
    axes.set_title(
        f"{len(result['folds'])} folds, standard error {100 * result['standard_error']:.2f} %;"
        f" {result['unscored']:,} of {number_of(result['pairs'], 'pair')} unscored,"
        " called different"
    )
    return figure


with job(snakemake.log[0], snakemake.output):
    figure = draw(
        read_json(Path(snakemake.input.accuracy)), read_table(Path(snakemake.input.roc), ROC)
    )
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg))
