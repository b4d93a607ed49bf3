"""Show photos that failed on a contact sheet, grouped by reason."""

from pathlib import Path

from meanface.engine.decode import decode
from meanface.files.json_files import read_json
from meanface.files.schemas import FAILURES
from meanface.files.tables import read_table
from meanface.report.figures import Tile, contact_sheet, new_figure, save
from meanface.report.pixels import read_photos, thumbnail
from meanface.report.selection import of_every_reason
from meanface.report.text import folder_and_name
from meanface.wording import number_of
from meanface.workflow.job import job

MOST = 96  # photos on the sheet
SIZE = 240  # pixels
# Photos that failed for other reasons are not decoded again: some of them killed a process.
DECODED = {"no_face", "small_face", "weak_face", "tilted_face"}

with job(snakemake.log[0], snakemake.output):
    failures = read_table(Path(snakemake.input.failures), FAILURES)
    summary = read_json(Path(snakemake.input.summary))
    engine, paths = snakemake.params.engine, snakemake.params.paths
    tars = {Path(tar).stem: Path(tar) for tar in snakemake.input.tars}
    if failures.empty:
        figure = new_figure(f"No failure in {number_of(summary['photos'], 'photo')}", 0.6)
    else:
        table = of_every_reason(failures, MOST)
        pictures = {
            path: thumbnail(decode(data, engine.decode, engine.max_pixels), SIZE)
            for path, data in read_photos(table[table["reason"].isin(DECODED)], tars)
        }
        some = number_of(len(table), "is", "are") if len(table) < len(failures) else "all are"
        figure = contact_sheet(
            f"{len(failures):,} of {number_of(summary['photos'], 'photo')} failed; {some} shown",
            {
                f"{reason}: {summary['failed_by_reason'][reason]:,}": [
                    Tile(
                        pictures.get(path),
                        folder_and_name(path) if paths else (),
                        f"{reason}: {detail}",
                    )
                    for path, detail in zip(rows["path"], rows["detail"], strict=True)
                ]
                for reason, rows in table.groupby("reason")
            },
        )
    save(figure, Path(snakemake.output.png), Path(snakemake.output.svg), named=paths)
