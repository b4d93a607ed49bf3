"""The report: one page of HTML that needs no network, made of the results of a run.

The page takes at most 20 MB, whatever the number of photos: the constants of the sections bound
how many photos, people, points and jobs it shows, and it says how many it leaves out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from meanface.engine.settings import EngineSettings
from meanface.files.atomic import replacing
from meanface.report.audit_section import SHOWN as FINDINGS
from meanface.report.audit_section import audit_section
from meanface.report.beside import Beside
from meanface.report.embedding_map import map_section
from meanface.report.embeddings_sections import (
    dimensions_chart,
    distances_section,
    extremes_section,
    odd_section,
    settling_chart,
    suspects_section,
)
from meanface.report.error_rates_section import error_rates_section
from meanface.report.find_section import QUERIES, find_section
from meanface.report.persons_section import PERSONS, persons_section
from meanface.report.photos_sections import (
    SHOWN,
    failures_section,
    headline,
    mean_groups,
    mean_section,
    people_section,
)
from meanface.report.pixels import mean_faces
from meanface.report.results import Results
from meanface.report.run_sections import provenance_section, speed_section, verification_section
from meanface.report.text import NAMED
from meanface.report.thumbnails import as_image, face_images, photo_images
from meanface.wording import number_of

WITH_FACES = ("people", "persons", "found", "suspects", "audit", "extremes", "odd")
"""The sections that show faces, by the row numbers under `shown`."""
LARGE, SMALL, FAILED = 96, 56, 160  # pixels of a thumbnail: in a list, of a point, of a photo


def photos_named(people: Beside | None, audit: Beside | None, found: Beside | None) -> set[str]:
    """Give the paths of the photos that these results name and the report shows."""
    paths: list[pd.Series[str]] = []
    if people:
        shown = people.table[people.table["person"] <= PERSONS]
        paths.append(shown["path"][shown["medoid"] == 1])
    if audit:
        findings = audit.table.groupby("kind").head(FINDINGS)
        paths += [findings["path"], findings["other_path"]]
    if found:
        paths.append(found.table["path"])
    return {path for column in paths for path in column}


def sections_of(results: Results) -> dict[str, Any]:
    """Give the sections of the report by the names that the template uses, without photos."""
    return {
        "headline": headline(results),
        "failures": failures_section(results),
        "people": people_section(results),
        "persons": persons_section(results),
        "found": find_section(results),
        "suspects": suspects_section(results),
        "audit": audit_section(results),
        "distances": distances_section(results),
        "map": map_section(results),
        "extremes": extremes_section(results),
        "odd": odd_section(results),
        "verification": verification_section(results),
        "error_rates": error_rates_section(results),
        "settling": settling_chart(results),
        "dimensions": dimensions_chart(results),
        "speed": speed_section(results),
        "provenance": provenance_section(results),
    }


def pictures_of(
    results: Results,
    sections: Mapping[str, Any],
    tars: Mapping[str, Path],
    settings: EngineSettings,
    models: Mapping[str, Path],
) -> dict[str, Any]:
    """Give the images that the sections show, by the names that the template uses.

    `tars` has the tar of each shard, and of the query photos as "query" if they are there.
    """
    shown = [name for name in WITH_FACES if sections[name]]
    sizes = {
        LARGE: {int(row) for name in shown for row in sections[name]["shown"]},
        SMALL: sections["map"]["rows"],
    }
    images = face_images(results.faces, sizes, tars, settings)
    queries: dict[int, str] = {}
    if results.found and results.found.query is not None and "query" in tars:
        asked = results.found.query.head(QUERIES)
        queries = face_images(asked, {LARGE: asked.index}, tars, settings)[LARGE]
    failed = results.failures.set_index("path", drop=False)
    failed = failed.loc[[photo["path"] for photo in sections["failures"].get("photos", ())]]
    groups = [rows for _, rows, _ in mean_groups(results)]
    means = mean_faces(results.in_the_mean(), groups, tars, settings, models)
    return {
        "faces": images[LARGE],
        "queries": queries,
        "points": [images[SMALL][row] for row in sections["map"]["rows"]],
        "failed": photo_images(failed[failed["reason"].isin(SHOWN)], FAILED, tars, settings),
        "means": [as_image(pixels) for pixels in means],
    }


NO_PICTURES: Mapping[str, Any] = {
    "faces": {},
    "queries": {},
    "points": [],
    "failed": {},
    "means": [],
}
"""What pictures_of gives for `pictures: false`."""


def write_page(
    target: Path, results: Results, sections: Mapping[str, Any], pictures: Mapping[str, Any]
) -> None:
    """Write the report. No text is taken for markup, and the page can load nothing."""
    environment = Environment(
        loader=PackageLoader("meanface.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda number: f"{number:,}"
    environment.filters["number_of"] = number_of
    files = Path(__file__).parent / "templates"
    page = environment.get_template("page.html").render(
        **sections,
        mean=mean_section(results, pictures["means"]),
        images=pictures,
        paths=results.paths,
        named=NAMED if results.paths else "",
        style=(files / "page.css").read_text(encoding="utf-8"),
        script=(files / "page.js").read_text(encoding="utf-8"),
    )
    with replacing(target) as part:
        part.write_text(page, encoding="utf-8")
