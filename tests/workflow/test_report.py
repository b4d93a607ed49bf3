"""The pictures of real runs, and Snakemake's own report of them as a browser shows it."""

import json
import re
import shutil
import tarfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from meanface.shards.manifest import identity_of
from tests.browser import PATIENCE, Scheme, Watch, shoot, start
from tests.runs import ROOT, Run, snakemake

OF_PHOTOS = {"mean_face", "extremes", "failures"}
OF_NUMBERS = {"dimensions", "settling", "distances", "map", "detectors", "speed"}
FIGURES = {
    "Mean": {"Mean face", "How the mean settles"},
    "Embeddings": {
        "Nearest and farthest faces",
        "Distances to the mean",
        "Map to hover over",
        "Map to print",
    },
    "Appendix": {"The 128 means"},
    "Run": {"Failed photos", "Detectors and reasons", "Photos per second"},
}
SOURCE = "photos_ `of`_ *mine* |x|.tar"  # all of it markup in reStructuredText
# A slash cannot be in a file name, but in a path it can.
SCRIPT = "<script>alert(1)</script>.jpg"
COMMENT = "$x_1$ *a* `b`_ |c|_/<!--<img src=x onerror=alert(2)>.jpg"
NASTY = {
    SCRIPT: "Eileen_Collins/Eileen_Collins_0007.JPG",
    COMMENT: "Eileen_Collins/Eileen_Collins_0002.jpg",
    "failed/</script><script>alert(3)</script>.jpg": "Failures/Cat.png",
    "failed/<b>cut</b>.jpg": "Failures/Cut_off.jpg",
}


FAST = {"shards": 2, "detectors": "[hog@0]", "hog": "full"}


def report(directory: Path, photos: Path, **config: object) -> Run:
    """A run that ends with its pictures and its report."""
    arguments = ["pictures", "--report-after-run", "--report", "results/provenance.html"]
    arguments += ["--report-stylesheet", str(ROOT / "report/style.css")]
    run = snakemake(directory, *arguments, photos=photos, **FAST, **config)
    assert run.code == 0, run.output
    assert f"report  {run.results.resolve()}/provenance.html\n" in run.output
    return run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, sample_photos: Path) -> Path:
    """An archive of photos that have names to be careful with, and of three plain ones."""
    archive = tmp_path_factory.mktemp("source") / SOURCE
    plain = [f"Grace_Hopper/Grace_Hopper_000{number}.jpg" for number in (1, 3, 6)]
    with tarfile.open(archive, "w") as tar:
        for name, photo in (NASTY | {name: name for name in plain}).items():
            tar.add(sample_photos / photo, arcname=name)
    return archive


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Run:
    """What a run with `pictures: false` leaves; its folder goes on to be that of `full`."""
    folder = tmp_path_factory.mktemp("runs")
    run = report(folder / "run", source, pictures=False)
    shutil.copytree(run.results, folder / "results")
    return Run(run.code, run.output, folder / "results")


@pytest.fixture(scope="module")
def full(private: Run, source: Path) -> Run:
    return report(private.results.parent / "run", source)


def pictures_of(run: Run) -> set[str]:
    return {path.stem for path in (run.results / "pictures").glob("*.png")}


def test_every_figure_is_made_and_none_is_blank(full: Run) -> None:
    assert pictures_of(full) == OF_PHOTOS | OF_NUMBERS
    for png in (full.results / "pictures").glob("*.png"):
        pixels = np.asarray(Image.open(png).convert("L"))
        assert (pixels != 255).mean() > 0.01, png
        assert png.with_suffix(".svg").read_text(encoding="utf-8").count("<path") > 10, png


def test_no_name_is_markup_in_any_file(full: Run) -> None:
    for file in (full.results / "pictures").iterdir():
        if file.suffix in {".svg", ".html"}:
            assert "<script>alert" not in file.read_text(encoding="utf-8"), file
    assert "<script>alert" not in (full.results / "provenance.html").read_text(encoding="utf-8")


def test_the_overview_has_the_numbers_of_the_tables(full: Run) -> None:
    results = full.results
    overview = json.loads((results / "pictures/overview.json").read_text(encoding="utf-8"))
    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    embeddings = np.load(results / "embeddings.npy").astype(float)
    failures = pd.read_csv(results / "failures.csv", keep_default_na=False)
    spread = embeddings - embeddings.mean(axis=0)
    assert overview["photos"] == summary["photos"] == len(embeddings) + len(failures) == 7
    assert overview["encoded"] == overview["faces in the mean"] == len(embeddings) == 5
    assert overview["failed"] == 2
    for reason, count in failures["reason"].value_counts().items():
        assert overview[f"failed: {reason}"] == count
    length = np.linalg.norm(embeddings.mean(axis=0))
    assert overview["length of the mean"] == pytest.approx(length, abs=1e-4)
    error = np.sqrt((spread**2).sum() / (len(spread) - 1) / len(spread))
    assert overview["standard error of the mean, a distance"] == pytest.approx(error, abs=1e-4)
    median = np.median(np.linalg.norm(spread, axis=1))
    assert overview["median distance of a face to the mean"] == pytest.approx(median, abs=1e-4)
    values = np.linalg.svd(spread, compute_uv=False) ** 2
    share = overview["share of the variance in two directions, %"]
    assert share == pytest.approx(100 * values[:2].sum() / values.sum(), abs=0.1)


def test_nothing_changed_draws_nothing(full: Run, source: Path) -> None:
    again = snakemake(full.results.parent, "pictures", photos=source, **FAST)
    assert again.code == 0, again.output
    assert not again.jobs


def test_pictures_are_drawn_later_without_encoding_again(full: Run) -> None:
    assert full.jobs["encode"] == 0
    assert full.jobs["plot_mean_face"] == 1


def test_without_pictures_no_pixel_of_a_photo_is_drawn(private: Run) -> None:
    assert pictures_of(private) == OF_NUMBERS
    assert {path.suffix for path in (private.results / "pictures").iterdir()} == {
        ".png",
        ".svg",
        ".html",
        ".csv",
        ".json",
        ".rst",
    }
    for svg in (private.results / "pictures").glob("*.svg"):
        assert "<image" not in svg.read_text(encoding="utf-8"), svg
    assert holds_pixels(private.results) == set()
    # The only PNGs that the report might hold are thumbnails: numbers are drawn as SVG.
    text = (private.results / "provenance.html").read_text(encoding="utf-8")
    assert '"mime_type": "image/png"' not in text
    assert '"mime_type": "image/svg+xml"' in text


# Beginnings of a photo as a file, in a tar, or in the base64 of a page.
PIXELS = re.compile(
    rb"\xff\xd8\xff[\xe0\xe1]..(?:JFIF|Exif)|\x89PNG\r\n\x1a\n"
    rb"|data:image/(?:png|jpe?g|webp)[;,]|iVBORw0KGgo|\"mime_type\": \"image/png\"",
    re.DOTALL,
)


def holds_pixels(folder: Path) -> set[str]:
    """The names of the files that hold a picture, other than those drawn from numbers alone."""
    drawn = {f"{name}.png" for name in OF_NUMBERS}
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in drawn)
    return {path.name for path in files if PIXELS.search(path.read_bytes())}


def test_without_pictures_those_of_an_earlier_run_go(
    full: Run, source: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(full.results.parent, run)
    # What another number of shards, another URL and a run that was killed leave.
    for old in (
        "shards/photos-0099.tar",
        "shards/photos-0001.tar.part",
        "parts/photos-1.tar",
        "download/x/old.tgz",
    ):
        target = run / "results" / old
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    shutil.copy(run / "results/pictures/mean_face.png", run / "results/pictures/failures.png.part")
    tars = {path.name for path in (run / "results").glob("*/*.tar*")}
    pictures = {f"{name}.{kind}" for name in OF_PHOTOS for kind in ("png", "svg")}
    assert holds_pixels(run) == (
        tars | pictures | {"failures.png.part", "old.tgz", "provenance.html"}
    )
    without = snakemake(run, photos=source, **FAST, pictures=False)
    assert without.code == 0, without.output
    assert without.jobs["encode"] == 0
    assert holds_pixels(run) == set()
    assert pictures_of(without) == OF_NUMBERS
    # A run with nothing to do leaves nothing either.
    shutil.copy(full.results / "provenance.html", without.results)
    again = snakemake(run, photos=source, **FAST, pictures=False)
    assert not again.jobs, again.output
    assert holds_pixels(run) == set()


# The words of the source's path, and of the paths in it.
NAMES = re.compile(
    rb"\bmine\b|Grace|Hopper|Eileen|Collins|alert\(\d|_1\$|<b>|failed/|[.](?:jpg|JPG)\b"
)


def names_in(place: Path) -> set[tuple[str, bytes]]:
    """The names in a file, or in the files below a folder, and in what they embed: (file, name)."""
    found = set()
    for file in filter(Path.is_file, (place, *place.rglob("*"))):
        content = file.read_bytes()
        embedded = re.findall(rb"data:[^,\"]*;base64,([A-Za-z0-9+/=]+)", content)
        for part in (content, *map(b64decode, embedded)):
            found |= {(file.name, name) for name in NAMES.findall(part)}
    return found


@pytest.fixture(scope="module")
def nameless(full: Run, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What a plain run with `paths: false` leaves of a run with pictures."""
    run = tmp_path_factory.mktemp("nameless") / "run"
    shutil.copytree(full.results.parent, run)
    return snakemake(run, photos=source, **FAST, paths=False)


def test_without_paths_pictures_with_names_go(full: Run, nameless: Run) -> None:
    assert nameless.code == 0, nameless.output
    assert not nameless.jobs
    assert {name for name, _ in names_in(full.results / "pictures")} >= {
        "extremes.svg",
        "failures.svg",
        "map.html",
        "map.svg",
        "overview.json",
        "overview.rst",
    }
    assert names_in(nameless.results / "pictures") == set()
    assert pictures_of(nameless) == OF_NUMBERS - {"map", "speed"}
    assert not (nameless.results / "provenance.html").exists()


@pytest.mark.parametrize("pictures", [True, False])
def test_without_paths_pictures_and_report_have_no_name(
    nameless: Run, source: Path, pictures: bool
) -> None:
    done = report(nameless.results.parent, source, paths=False, pictures=pictures)
    assert pictures_of(done) == (OF_PHOTOS if pictures else set()) | OF_NUMBERS
    assert names_in(done.results / "pictures") == set()
    assert names_in(done.results / "provenance.html") == set()
    assert "person 1" in (done.results / "pictures/map.html").read_text(encoding="utf-8")
    again = snakemake(
        done.results.parent, "pictures", photos=source, **FAST, paths=False, pictures=pictures
    )
    assert not again.jobs, again.output
    assert (done.results / "provenance.html").exists()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield start(playwright)


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(
    ("device", "width", "height", "scheme"),
    [("desktop", 1280, 800, "light"), ("phone", 390, 844, "light"), ("dark", 1280, 800, "dark")],
)
def test_the_report_shows_each_figure_and_asks_nobody(
    full: Run, browser: Browser, device: str, width: int, height: int, scheme: Scheme
) -> None:
    watch = Watch()
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    watch.on(page)
    page.goto((full.results / "provenance.html").as_uri())
    page.get_by_text("The mean of many faces").wait_for()
    page.locator("#rulegraph canvas, #rulegraph svg").first.wait_for()
    shoot(page, f"{device}-start")
    assert page.get_by_text(SOURCE, exact=True).is_visible()
    captions = page.evaluate("Object.values(results).map(result => result.caption)")
    assert len(captions) == sum(map(len, FIGURES.values()))
    assert all(captions)
    for category, figures in FIGURES.items():
        page.get_by_text(category, exact=True).first.click()
        for figure in sorted(figures):
            row = page.locator("tr", has=page.get_by_text(figure, exact=True))
            row.locator("a").first.click()
            if figure == "Map to hover over":
                frame = page.frame_locator("iframe")
                frame.locator(".marks").first.wait_for()
            else:
                image = page.locator("img").last
                image.wait_for()
                assert (
                    image.evaluate(
                        "async image => {await image.decode(); return image.naturalWidth}"
                    )
                    > 100
                )
                box = image.bounding_box()
                assert box is not None
                assert box["width"] > 0.6 * min(width, 600), figure
                assert box["x"] >= 0, figure
                assert box["x"] + box["width"] <= width, figure
            shoot(page, f"{device}-{figure}")
        page.get_by_text("Results", exact=True).first.click()
    assert watch.outside() == []
    assert watch.complaints == []
    context.close()


@pytest.mark.needs("chromium")
def test_the_map_shows_the_path_under_the_pointer_as_text(full: Run, browser: Browser) -> None:
    watch = Watch()
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    watch.on(page)
    page.goto((full.results / "pictures/map.html").as_uri())
    for path in (SCRIPT, COMMENT):
        page.get_by_label(path).hover()
        tip = page.locator("#vg-tooltip-element")
        tip.get_by_text(path, exact=True).wait_for()
        shoot(page, f"hover-{path[0]}")
        assert tip.locator("script, img").count() == 0
        assert identity_of(path) in tip.inner_text()
    assert watch.outside() == []
    assert watch.complaints == []
    context.close()
