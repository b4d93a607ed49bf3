"""Write the run's numbers: as JSON, and as the table at the beginning of the report."""

from pathlib import Path

from meanface.files.json_files import read_json, write_json
from meanface.files.parquet import read_frame
from meanface.files.schemas import IDENTITIES
from meanface.files.tables import read_table
from meanface.report.overview import overview
from meanface.report.text import rst_table
from meanface.results.statistics import read_statistics
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    numbers = overview(
        read_json(Path(snakemake.input.summary)),
        read_statistics(Path(snakemake.input.statistics)),
        read_table(Path(snakemake.input.identities), IDENTITIES, ["identity"])["identity"],
        read_frame(Path(snakemake.input.faces), ["distance"])["distance"],
        paths=snakemake.params.paths,
    )
    write_json(Path(snakemake.output.numbers), numbers)
    rst_table(numbers, Path(snakemake.output.text))
