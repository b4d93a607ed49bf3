"""Draw two sets in the directions of most variance, and the MMD among its permutations."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meanface.files.json_files import read_json
from meanface.report.figures import BLUE, GREY, VERMILLION, new_figure, save
from meanface.results.principal_components import principal_components
from meanface.results.statistics import read_statistics
from meanface.workflow.job import job

POINTS = 3000  # of each set


def some_of(path: Path) -> NDArray[np.float64]:
    """Give up to POINTS embeddings, spread evenly over the file."""
    rows = np.load(path, mmap_mode="r", allow_pickle=False)
    chosen = np.linspace(0, len(rows) - 1, min(POINTS, len(rows))).astype(int)
    some: NDArray[np.float64] = rows[chosen].astype(np.float64)
    return some


def draw(
    summary: dict[str, Any], sets: list[NDArray[np.float64]], directions: NDArray[np.float64]
) -> Figure:
    """Draw sets of embeddings (n, d) in two `directions` (d, 2)."""
    distance, mmd = summary["distance_of_means"], summary["mmd"]
    verdict = "differ" if mmd["p_value"] < 0.05 else "show no difference"
    figure = new_figure(
        f"The two sets {verdict}: their means are {distance['distance']:.3f} apart"
        f" ({distance['low']:.3f} to {distance['high']:.3f})",
    )
    places, test = figure.subplots(1, 2)
    for rows, colour, name in zip(
        sets, (BLUE, VERMILLION), ("this set", "the other set"), strict=True
    ):
        x, y = (rows @ directions).T
        places.plot(x, y, ".", color=colour, markersize=3, alpha=0.4, label=name)
    for rows, colour in zip(sets, (BLUE, VERMILLION), strict=True):
        places.plot(*(rows.mean(axis=0) @ directions), "o", color="white", markersize=11)
        places.plot(*(rows.mean(axis=0) @ directions), "o", color=colour, markersize=8)
    places.set_aspect("equal")
    handles, names = places.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=2, markerscale=3)
    places.set_xlabel("the two directions of most variance")
    places.set_title("Faces; discs: means")

    density, edges = np.histogram(mmd["permuted_quantiles"], bins=20)
    test.stairs(density, edges, fill=True, color=GREY, alpha=0.6, label="persons mixed at random")
    test.axvline(mmd["squared"], color=VERMILLION, linewidth=2, label="the two sets")
    test.set_yticks([])
    test.set_xlabel("squared MMD")
    handles, names = test.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower right", ncols=2)
    test.set_title(f"p = {mmd['p_value']:.4f}, {mmd['permutations']:,} permutations by person")
    return figure


with job(snakemake.log[0], snakemake.output):
    given = snakemake.input
    directions, _ = principal_components(read_statistics(Path(given.statistics)).covariance)
    sets = [some_of(Path(file)) for file in (given.embeddings, given.other_embeddings)]
    figure = draw(read_json(Path(given.comparison)), sets, directions[:, :2])
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg))
