"""Draw the mean face: the average of the aligned faces of all people, and of single people."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meanface.files.parquet import read_frame
from meanface.report.figures import WIDTH, new_figure, save
from meanface.report.pixels import mean_faces
from meanface.report.selection import counted, most_frequent, sample_of
from meanface.report.text import called
from meanface.wording import of_all
from meanface.workflow.job import job

MOST, MOST_OF_ONE = 2000, 200  # faces in an average: more make no visible difference
PEOPLE = 8


def rows_of(faces: pd.DataFrame, name: str) -> NDArray[np.intp]:
    rows = np.flatnonzero(faces["identity"] == name)
    return rows[sample_of(faces["path"].iloc[rows].tolist(), MOST_OF_ONE)]


def draw(
    averages: list[NDArray[np.uint8]], used: list[int], total: int, people: pd.Series, paths: bool
) -> Figure:
    """`used` counts the faces in each average, `total` all encoded faces."""
    names = called(people.index, 20, paths=paths)
    columns = -(-len(people) // 2)
    cell = min(WIDTH / (2 + columns), 1.8)
    figure = new_figure(f"The mean face of {of_all(used[0], total, 'face')}", 2 * cell + 0.9)
    grid = figure.add_gridspec(2, 2 + columns)
    places = [grid[:, :2], *(grid[i // columns, 2 + i % columns] for i in range(len(people)))]
    captions = [
        "all people",
        *(
            f"{names[name]}\n{of_all(count, photos, 'face')}"
            for name, count, photos in zip(people.index, used[1:], people, strict=True)
        ),
    ]
    for place, average, caption in zip(places, averages, captions, strict=True):
        axes = figure.add_subplot(place)
        axes.imshow(average)
        axes.set_axis_off()
        axes.set_title(caption, loc="center", fontsize=7)
    return figure


with job(snakemake.log[0], snakemake.output):
    faces = counted(read_frame(Path(snakemake.input.faces)), snakemake.params.deduplicate)
    people = most_frequent(faces["identity"], PEOPLE)
    groups = [
        sample_of(faces["path"].tolist(), MOST),
        *(rows_of(faces, name) for name in people.index),
    ]
    averages = mean_faces(
        faces,
        groups,
        {Path(tar).stem: Path(tar) for tar in snakemake.input.tars},
        snakemake.params.engine,
        {Path(model).stem: Path(model) for model in snakemake.input.models},
    )
    paths = snakemake.params.paths
    figure = draw(averages, [len(group) for group in groups], len(faces), people, paths)
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg), named=paths)
