"""Write the run's numbers: as JSON, and as the table at the beginning of the report."""

import math
from pathlib import Path

import numpy as np

from meanface.files.json_files import read_json, write_json
from meanface.files.schemas import FACES, IDENTITIES
from meanface.files.tables import read_table
from meanface.report.text import rst_table
from meanface.results.principal_components import principal_components
from meanface.workflow.job import job

with job(snakemake.log[0], snakemake.output):
    summary = read_json(Path(snakemake.input.summary))
    people = read_table(Path(snakemake.input.identities), IDENTITIES, ["identity"])
    distances = read_table(Path(snakemake.input.faces), FACES, ["distance"])["distance"]
    with np.load(snakemake.input.statistics, allow_pickle=False) as statistics:
        mean, covariance = statistics["mean"], statistics["covariance"]
        count = int(statistics["count"])
    scatter = {}
    if count > 1:  # a single face has none
        _, shares = principal_components(covariance)
        scatter = {
            "standard error of the mean, a distance": round(
                math.sqrt(np.trace(covariance) / count), 4
            ),
            "share of the variance in two directions, %": round(100 * float(shares[:2].sum()), 1),
        }

    per_second = summary["photos_per_second"]
    speed = {"photos per second and encode job": round(per_second, 1)} if per_second else {}
    numbers = {
        "source": ", ".join(source["name"] for source in summary["sources"].values()),
        "photos": summary["photos"],
        "encoded": summary["encoded"],
        "failed": summary["failed"],
        **{f"failed: {name}": number for name, number in summary["failed_by_reason"].items()},
        "faces in the mean": count,
        **{
            f"faces found by {name}": number
            for name, number in summary["faces_by_detector"].items()
        },
        "people": int((people["identity"] != "").sum()),
        "length of the mean": round(float(np.linalg.norm(mean)), 4),
        "median distance of a face to the mean": round(float(distances.median()), 4),
        **scatter,
        **speed,
        "meanface": summary["versions"]["meanface"],
    }
    write_json(Path(snakemake.output.numbers), numbers)
    rst_table(numbers, Path(snakemake.output.text))
