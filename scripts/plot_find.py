"""Show the faces of the query photos, each beside the faces nearest to it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.engine.decode import decode
from meanface.files.parquet import read_frame
from meanface.files.schemas import FIND
from meanface.files.tables import read_table
from meanface.report.figures import Tile, contact_sheet, save
from meanface.report.pixels import around, faces_of, read_photos
from meanface.report.text import folder_and_name
from meanface.results.find import read_query
from meanface.workflow.job import job

QUERIES = 12  # query faces that are shown
FOUND = 11  # faces beside each
SIZE = 240  # pixels


def squares_of(
    faces: pd.DataFrame, tars: Mapping[str, Path]
) -> dict[tuple[str, int], NDArray[np.uint8]]:
    """Give the square around each face, by path and number."""
    squares = {}
    for path, data in read_photos(faces, tars):
        pixels = decode(data, engine.decode, engine.max_pixels)
        rows = faces[faces["path"] == path]
        for number, face in zip(rows["face"], faces_of(rows), strict=True):
            squares[path, number] = around(pixels, face, SIZE)
    return squares


with job(snakemake.log[0], snakemake.output):
    given, engine, paths = snakemake.input, snakemake.params.engine, snakemake.params.paths
    query = read_query(Path(given.manifest), Path(given.query), Path(given.outcomes))
    asked = query.table().head(QUERIES)
    found = read_table(Path(given.table), FIND).groupby(["query", "query_face"]).head(FOUND)
    found = found.merge(asked[["path", "face"]].set_axis(["query", "query_face"], axis=1))
    faces = read_frame(Path(given.faces))
    faces = faces.assign(face=faces.groupby("path").cumcount() + 1)
    shown = faces.merge(found[["path", "face"]].drop_duplicates())
    queries = squares_of(asked, {"query": Path(given.tar)})
    squares = squares_of(shown, {Path(tar).stem: Path(tar) for tar in given.tars})
    sections = {}
    for turn, (path, number) in enumerate(zip(asked["path"], asked["face"], strict=True), 1):
        rows = found[(found["query"] == path) & (found["query_face"] == number)]
        sections[f"{path}, face {number}" if paths else f"query face {turn}"] = [
            Tile(queries[path, number], ["the query"]),
            *(
                Tile(
                    squares[row.path, row.face],
                    [
                        f"{row.distance:.3f}, FMR {row.fmr:.1g}",
                        *(folder_and_name(row.path) if paths else ()),
                    ],
                )
                for row in rows.itertuples()
            ),
        ]
    nearest = found.loc[found["rank"] == 1, "distance"].min()
    few = f"; the first {QUERIES} of {len(query.path):,} query faces"
    figure = contact_sheet(
        f"The nearest face lies {nearest:.2f} from its query face"
        + few * (len(query.path) > QUERIES),
        sections,
    )
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg), named=paths)
