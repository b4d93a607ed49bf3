"""Draw the ROC curve of the scored pairs, as PNG and SVG (rates from 0 to 1)."""

import json
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from meanface.logs import log_to

# Blue and vermillion of Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#767676"


def draw(result: dict, roc: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    rates = roc["false_positive_rate"], roc["true_positive_rate"]
    smallest = rates[0][rates[0] > 0].min()

    axes.plot(*rates, color=BLUE, linewidth=2, label=f"these embeddings (AUC {result['auc']:.4f})")
    axes.plot(rates[0], rates[0], color=GREY, linestyle="--", linewidth=1, label="chance (AUC 0.5)")
    threshold = sum(fold["threshold"] for fold in result["folds"]) / len(result["folds"])
    chosen = roc[roc["threshold"] <= threshold].tail(1)
    axes.plot(
        chosen["false_positive_rate"].clip(lower=smallest / 2),
        chosen["true_positive_rate"],
        "o",
        color=VERMILLION,
        clip_on=False,
        label=f"mean threshold of the folds: {threshold:.3f}",
    )

    # A false positive rate of 0 lies at the left edge, half of the smallest rate that occurs.
    axes.set_xscale("log", nonpositive="clip")
    axes.set_xlim(smallest / 2, 1)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("false positive rate: different persons called the same (log scale)")
    axes.set_ylabel("true positive rate: same person called the same")
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)

    figure.suptitle(
        f"{result['accuracy']:.2%} of pairs called rightly, AUC {result['auc']:.4f}",
        fontweight="bold",
    )
    axes.set_title(
        f"{len(result['folds'])} folds, standard error {result['standard_error']:.2%};"
        f" {result['unscored']:,} of {result['pairs']:,} pairs unscored, called different",
        fontsize="small",
    )
    return figure


with log_to(snakemake.log[0]):
    figure = draw(
        json.loads(Path(snakemake.input.accuracy).read_text(encoding="utf-8")),
        pd.read_csv(snakemake.input.roc),
    )
    # Same data, same bytes: no date, and names inside the SVG that don't change.
    mpl.rcParams["svg.hashsalt"] = "meanface"
    for kind, metadata in {"png": None, "svg": {"Date": None}}.items():
        part = Path(f"{snakemake.output[kind]}.part")
        figure.savefig(part, format=kind, metadata=metadata, dpi=150)
        part.replace(snakemake.output[kind])
