"""Show the faces nearest to and farthest from the mean."""

from pathlib import Path

from meanface.engine.decode import decode
from meanface.files.parquet import read_frame
from meanface.report.figures import Tile, contact_sheet, save
from meanface.report.pixels import around, faces_of, read_photos
from meanface.report.selection import extremes
from meanface.report.text import folder_and_name
from meanface.workflow.job import job

MOST = 12
SIZE = 240  # pixels

with job(snakemake.log[0], snakemake.output):
    faces = read_frame(Path(snakemake.input.faces))
    nearest, farthest = extremes(faces, MOST)
    engine, paths = snakemake.params.engine, snakemake.params.paths
    tars = {Path(tar).stem: Path(tar) for tar in snakemake.input.tars}
    chosen = {"nearest": nearest, "farthest": farthest}
    wanted = faces.loc[[*nearest.index, *farthest.index]].drop_duplicates("path")
    squares = {}
    for path, data in read_photos(wanted, tars):
        pixels = decode(data, engine.decode, engine.max_pixels)
        for table in chosen.values():
            rows = table[table["path"] == path]
            for index, face in zip(rows.index, faces_of(rows), strict=True):
                squares[index] = around(pixels, face, SIZE)

    figure = contact_sheet(
        f"The face nearest to the mean lies {nearest['distance'].iloc[0]:.2f} from it,"
        f" the farthest {farthest['distance'].iloc[0]:.2f}",
        {
            f"{len(rows)} {name}, with their distance": [
                Tile(squares[index], [f"{distance:.3f}", *(folder_and_name(path) if paths else ())])
                for index, distance, path in zip(
                    rows.index, rows["distance"], rows["path"], strict=True
                )
            ]
            for name, rows in chosen.items()
        },
    )
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg), named=paths)
