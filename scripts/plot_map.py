"""Draw a map of the embeddings, in the two directions of most variance: interactive and printed."""

import textwrap
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meanface.files.parquet import read_frame
from meanface.report.embedding_map import OTHERS, map_points
from meanface.report.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    as_page,
    new_figure,
    save,
)
from meanface.report.selection import most_frequent
from meanface.report.text import called
from meanface.results.principal_components import principal_components
from meanface.results.statistics import read_statistics
from meanface.wording import of_all
from meanface.workflow.job import job

MOST = 5000  # points: more points would overlap, and would make the page slow
# Marks of matplotlib and of Vega-Lite for the people with the most photos, and for the others.
MARKS = [
    (BLUE, "o", "circle"),
    (VERMILLION, "s", "square"),
    (GREEN, "^", "triangle-up"),
    (PURPLE, "D", "diamond"),
    (ORANGE, "v", "triangle-down"),
    (SKY, "P", "cross"),
]


def title_of(points: pd.DataFrame, total: int, shares: NDArray[np.float64]) -> str:
    share = 100 * shares[:2].sum()
    faces = of_all(len(points), total, "face")
    return f"{faces} in the two directions that hold {share:.0f} % of the variance"


def label_of(direction: int, shares: NDArray[np.float64]) -> str:
    return f"direction {direction + 1}, {100 * shares[direction]:.1f} % of variance (no unit)"


def draw(points: pd.DataFrame, people: list[str], title: str, labels: list[str]) -> Figure:
    figure = new_figure(title, 5.4)
    axes = figure.subplots()
    others = points[points["person"] == OTHERS]
    axes.plot(others["x"], others["y"], ".", color=GREY, markersize=3, alpha=0.5, label=OTHERS)
    for person, (colour, marker, _) in zip(people, MARKS, strict=False):
        theirs = points[points["person"] == person]
        axes.plot(theirs["x"], theirs["y"], marker, color=colour, markersize=4, label=person)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_aspect("equal", adjustable="datalim")
    figure.legend(loc="outside lower left", ncols=3, markerscale=1.5, fontsize=7.5)
    return figure


def chart(points: pd.DataFrame, people: list[str], title: str, labels: list[str]) -> alt.Chart:
    # `padding`, in pixels, leaves room for points at the edge.
    scale = alt.Scale(zero=False, nice=False, padding=15)
    marks = [*zip(people, MARKS, strict=False), (OTHERS, (GREY, "", "circle"))]
    names = [name for name, _ in marks]
    colour = alt.Color(
        "person:N",
        title=None,
        legend=alt.Legend(orient="bottom", columns=2, labelLimit=300),
        scale=alt.Scale(domain=names, range=[mark[0] for _, mark in marks]),
    )
    shape = alt.Shape(
        "person:N", title=None, scale=alt.Scale(domain=names, range=[mark[2] for _, mark in marks])
    )
    drawn: alt.Chart = (
        alt.Chart(points)
        .mark_point(filled=True, opacity=0.7)
        .encode(
            x=alt.X("x:Q", title=labels[0], scale=scale, axis=alt.Axis(tickCount=8)),
            y=alt.Y("y:Q", title=labels[1], scale=scale),
            color=colour,
            shape=shape,
            size=alt.when(alt.datum.person == OTHERS).then(alt.value(12)).otherwise(alt.value(60)),
            tooltip=[
                *(alt.Tooltip(f"{name}:N") for name in ("path", "identity") if name in points),
                alt.Tooltip("distance:Q", title="distance to the mean", format=".3f"),
            ],
        )
        .properties(
            width="container", height=480, title=alt.Title(textwrap.wrap(title, 40), anchor="start")
        )
        .interactive()
    )
    return drawn


with job(snakemake.log[0], snakemake.output):
    faces = read_frame(Path(snakemake.input.faces))
    embeddings = np.load(snakemake.input.embeddings, mmap_mode="r", allow_pickle=False)
    statistics = read_statistics(Path(snakemake.input.statistics))
    components, shares = principal_components(np.nan_to_num(statistics.covariance))
    people = most_frequent(faces["identity"], len(MARKS)).index
    paths = snakemake.params.paths
    names = called(people, 36, paths=paths)
    points = map_points(faces, embeddings, statistics.mean, components, most=MOST, names=names)

    title, labels = title_of(points, len(faces), shares), [label_of(i, shares) for i in (0, 1)]
    figure = draw(points, list(names.values()), title, labels)
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg), named=paths)
    if not paths:
        points = points.drop(columns=["path", "identity"])
    page = chart(points, list(names.values()), title, labels)
    as_page(page, Path(snakemake.output.html), named=paths)
