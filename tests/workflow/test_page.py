"""The report of real runs, as a browser shows it to a person."""

import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import PATIENCE, Scheme, Watch, shoot, start
from tests.runs import Run, snakemake

SCRIPT = "<script>alert(1)</script>.jpg"
COMMENT = "`b`_ |c|_/<!--<img src=x onerror=alert(2)>.jpg"
PHOTOS = {
    SCRIPT: "Eileen_Collins/Eileen_Collins_0007.JPG",
    COMMENT: "Eileen_Collins/Eileen_Collins_0002.jpg",
    "failed/</script><script>alert(3)</script>.jpg": "Failures/Cat.png",
    "failed/<b>page</b>.jpg": "Failures/Web_page.jpg",
    "Eileen_Collins/Eileen_Collins_0001.jpg": "Eileen_Collins/Eileen_Collins_0001.jpg",
    "Grace_Hopper/copy.jpg": "Grace_Hopper/Grace_Hopper_0001.jpg",
    **{
        name: name
        for name in (f"Grace_Hopper/Grace_Hopper_000{number}.jpg" for number in (1, 3, 6))
    },
}
SOURCE = "photos_of_mine.tar"
# The words of the source's name, and of the paths in it.
NAMES = re.compile(
    r"\bmine\b|photos_of|Grace|Hopper|Eileen|Collins|alert\(\d|failed/|[.](?:jpg|JPG)\b"
)
TARGETS = ("report", "people", "audit", "results/verification.csv", "results/find.csv")
FAST = {"shards": 2, "detectors": "[hog@0]", "hog": "full"}

Open = Callable[..., Page]


def query_of(photos: Path) -> Path:
    """A photo of Grace Hopper beside the archive."""
    return photos.with_name("asked of mine.jpg")


def page_of(run: Run) -> str:
    return (run.results / "report.html").read_text(encoding="utf-8")


def write_report(directory: Path, photos: Path, **config: object) -> Run:
    run = snakemake(directory, *TARGETS, photos=photos, query=query_of(photos), **FAST, **config)
    assert run.code == 0, run.output
    return run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, sample_photos: Path) -> Path:
    """An archive of photos of four people, with names to be careful with, and a copy."""
    archive = tmp_path_factory.mktemp("source") / SOURCE
    with tarfile.open(archive, "w") as tar:
        for name, photo in PHOTOS.items():
            tar.add(sample_photos / photo, arcname=name)
    shutil.copy(sample_photos / "Grace_Hopper/Grace_Hopper_0002.jpg", query_of(archive))
    return archive


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Run:
    return write_report(tmp_path_factory.mktemp("runs") / "run", source)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, closing(start(playwright)) as started:
        yield started


@pytest.fixture
def show(full: Run, browser: Browser) -> Iterator[Open]:
    """Opens the report without network; complains at the end if the page did."""
    watch = Watch()
    contexts = []

    def opened(width: int = 1280, height: int = 800, scheme: Scheme = "light") -> Page:
        viewport = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        watch.on(page)
        page.goto((full.results / "report.html").as_uri())
        for part in page.locator("summary").all():
            part.click()
        return page

    yield opened
    assert watch.outside() == []
    assert watch.complaints == []
    for context in contexts:
        context.close()


every_device = pytest.mark.parametrize(
    ("device", "width", "scheme"),
    [("desktop", 1280, "light"), ("phone", 390, "light"), ("dark", 1280, "dark")],
)

# Sizes of all texts that are on the screen, and the places where they stand.
TEXTS = """() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let node; node = walk.nextNode();) {
    const element = node.parentElement, range = document.createRange();
    range.selectNode(node);
    const box = range.getBoundingClientRect();
    if (!node.data.trim() || !box.width || /SCRIPT|STYLE/.test(element.tagName)) continue;
    found.push([node.data.trim(), parseFloat(getComputedStyle(element).fontSize)]);
  }
  return found;
}"""


@pytest.mark.needs("chromium")
@every_device
def test_the_report_can_be_read_on(device: str, width: int, scheme: Scheme, show: Open) -> None:
    page = show(width, 844, scheme)
    shoot(page, f"page-{device}", whole=True)
    texts = page.evaluate(TEXTS)
    assert len(texts) > 100
    assert [text for text in texts if text[1] < 11] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    loaded = page.evaluate(
        "[...document.images].map(image => image.complete && image.naturalWidth)"
    )
    assert len(loaded) > 20
    assert all(loaded)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = map(int, re.findall(r"\d+", background)[:3])
    assert (red + green + blue < 3 * 64) == (scheme == "dark")


@pytest.mark.needs("chromium")
@every_device
def test_nobody_is_kept_out_on(device: str, width: int, scheme: Scheme, show: Open) -> None:
    page = show(width, 844, scheme)
    violations = Axe().run(page).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []


@pytest.mark.needs("chromium")
def test_the_report_has_the_numbers_of_the_tables(full: Run, show: Open) -> None:
    page = show()
    faces, failures, people = (
        pd.read_csv(full.results / f"{name}.csv", keep_default_na=False)
        for name in ("faces", "failures", "identities")
    )
    numbers = page.locator(".numbers div").all_inner_texts()
    assert [line.split() for line in numbers] == [
        ["photos", str(len(faces) + len(failures))],
        ["encoded", str(len(faces))],
        ["failed", str(len(failures))],
        ["people", str((people["identity"] != "").sum())],
        ["copies", "1"],
    ]
    sentence = page.locator(".lead").inner_text()
    assert sentence == (
        "meanface found 7 faces in 7 of the 9 photos of photos_of_mine.tar, and 2 photos failed."
        " Folders name 4 people."
    )
    failed = page.locator("#failed")
    for reason, meaning in (("no_face", "No detector"), ("not_an_image", "a web page: 1")):
        row = failed.get_by_role("row").filter(has_text=reason)
        assert meaning in row.inner_text()
    rows = page.locator("#people tbody tr").all_inner_texts()
    named = people[people["identity"] != ""].sort_values(
        ["photos", "identity"], ascending=[False, True]
    )
    assert [row.strip().split("\t") for row in rows] == [
        [name, str(photos), f"{spread:.3f}", f"{distance:.3f}"]
        for name, photos, spread, distance in named.itertuples(index=False)
    ]
    assert "1 photo is a copy of another" in page.locator("#suspects").inner_text()


@pytest.mark.needs("chromium")
def test_the_nearest_faces_with_different_names_are_named(full: Run, show: Open) -> None:
    faces = pd.read_csv(full.results / "faces.csv", keep_default_na=False)
    embeddings = np.load(full.results / "embeddings.npy").astype(float)
    people = faces["identity"]
    least: dict[frozenset[str], float] = {}
    for i in range(len(faces)):
        for j in range(i):
            names = frozenset((people[i], people[j]))
            if "" not in names and len(names) == 2:
                away = float(np.linalg.norm(embeddings[i] - embeddings[j]))
                least[names] = min(away, least.get(names, np.inf))
    shown = show().locator("#suspects .pairs").first.locator("strong").all_inner_texts()
    assert shown == [f"{away:.3f}" for away in sorted(least.values())]


@pytest.mark.needs("chromium")
def test_a_table_is_sorted_by_the_keyboard(show: Open) -> None:
    page = show()
    head = page.locator("#people thead").get_by_role("button", name="Person")
    head.focus()
    page.keyboard.press("Enter")
    names = page.locator("#people tbody .name")
    up = names.all_inner_texts()
    assert up[-2:] == ["Eileen_Collins", "Grace_Hopper"]
    page.keyboard.press("Enter")
    assert names.all_inner_texts() == up[::-1]
    assert page.locator("#people [aria-sort]").get_attribute("aria-sort") == "descending"
    page.locator("#people thead").get_by_role("button", name="Faces").press("Enter")
    counts = page.locator("#people tbody td:nth-child(2)").all_inner_texts()
    assert counts == sorted(counts, key=int, reverse=True)


@pytest.mark.needs("chromium")
def test_the_map_shows_the_face_under_the_pointer_as_text(show: Open) -> None:
    page = show()
    chosen = page.locator("#chosen")
    places = page.locator("#all use")
    names = []
    for place in places.all():
        place.hover(force=True)
        assert chosen.locator("img").evaluate("image => image.decode().then(() => image.width)")
        names.append(chosen.locator("p").nth(-2).inner_text())
    assert {SCRIPT, COMMENT} <= set(names)
    assert page.locator("#chosen script, #chosen [onerror]").count() == 0


@pytest.mark.needs("chromium")
def test_the_map_has_one_scale(full: Run, show: Open) -> None:
    faces = pd.read_csv(full.results / "faces.csv", keep_default_na=False)
    embeddings = np.load(full.results / "embeddings.npy").astype(float)
    spread = embeddings - embeddings.mean(axis=0)
    flat = spread @ np.linalg.svd(spread)[2][:2].T
    page = show()
    shown = page.evaluate(
        """() => JSON.parse(document.getElementById("map-faces").textContent).map((face, i) => {
             const box = document.querySelectorAll("#all use")[i].getBoundingClientRect();
             return [face.name, box.x + box.width / 2, box.y + box.height / 2];
           })"""
    )
    places = flat[[faces["path"].tolist().index(name) for name, *_ in shown]]
    screen = np.array([place for _, *place in shown])
    across, up = np.ptp(screen, axis=0) / np.ptp(places, axis=0)
    assert up == pytest.approx(across, rel=0.03)
    # The signs of principal components are free, so only the shape is compared.
    correlations = [np.corrcoef(screen[:, i], places[:, i])[0, 1] for i in (0, 1)]
    assert np.abs(correlations) == pytest.approx(1, abs=1e-3)


@pytest.mark.needs("chromium")
def test_the_map_is_searched_and_walked_by_the_keyboard(show: Open) -> None:
    page = show(390, 844)
    page.get_by_label("Find a path or a person").fill("hopper")
    assert page.locator("#found").inner_text() == "4 of 7 faces on the map"
    assert page.locator("#all use:not(.dim)").count() == 4
    assert "Grace_Hopper" in page.locator("#chosen").inner_text()
    page.get_by_label("Find a path or a person").fill("")
    legend = page.get_by_role("group", name="People on the map").get_by_role("button")
    first = legend.filter(has_text="Grace_Hopper")
    first.press("Enter")
    assert first.get_attribute("aria-pressed") == "true"
    assert page.locator("#all use:not(.dim)").count() == 4
    first.press("Space")
    assert page.locator("#all use.dim").count() == 0
    page.locator("#points").focus()
    seen = set()
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown") * 3:
        page.keyboard.press(key)
        seen.add(page.locator("#chosen").inner_text())
    assert len(seen) > 2


@pytest.mark.needs("chromium")
def test_the_persons_that_were_found_can_be_sorted(full: Run, show: Open) -> None:
    people = pd.read_csv(full.results / "people.csv", keep_default_na=False)
    sizes = people.groupby("person").size()
    section = show().locator("#persons")
    assert f"The 7 faces show {len(sizes)} persons" in section.inner_text()
    counts = section.locator("tbody td:nth-child(2)")
    assert counts.all_inner_texts() == sizes.astype(str).tolist()
    section.get_by_role("button", name="Person").press("Enter")
    section.get_by_role("button", name="Person").press("Enter")
    assert section.locator("tbody .name").all_inner_texts() == sizes.index.astype(str).tolist()
    assert section.locator("tbody img").count() == len(sizes)


@pytest.mark.needs("chromium")
def test_the_faces_nearest_to_a_query_are_shown(full: Run, show: Open) -> None:
    found = pd.read_csv(full.results / "find.csv", keep_default_na=False)
    people = pd.read_csv(full.results / "people.csv", keep_default_na=False)
    section = show().locator("#nearest")
    assert f"lies {found['distance'][0]:.2f} from the query face" in section.inner_text()
    shown = section.locator(".faces .name").all_inner_texts()
    assert shown == ["the query", *found["path"].head(7)]
    assert section.locator("img").count() == 1 + 7
    number = people["person"][people["path"] == found["path"][0]].item()
    nearest = f"Nearest persons: Grace_Hopper, number {number:,} ({found['distance'][0]:.2f})"
    assert nearest in section.inner_text()


@pytest.mark.needs("chromium")
def test_the_findings_of_the_audit_are_shown_in_order(full: Run, show: Open) -> None:
    found = pd.read_csv(full.results / "audit.csv", keep_default_na=False)
    section = show().locator("#audit")
    names = section.locator(".pairs .name").all_inner_texts()
    strongest = found[found["rank"] <= 8]
    assert len(found) > 0
    assert names == [*strongest[["path", "other_path"]].to_numpy().ravel()]
    assert section.locator("img").count() == len(names)


def test_the_report_follows_people_and_shows_none_of_other_faces(
    tmp_path: Path, sample_photos: Path
) -> None:
    archive, run = tmp_path / "mine.tar", tmp_path / "run"

    def pack(folder: str) -> None:
        with tarfile.open(archive, "w") as tar:
            for number in (1, 3, 6):
                name = f"Grace_Hopper_000{number}.jpg"
                tar.add(sample_photos / "Grace_Hopper" / name, arcname=f"{folder}/{name}")

    def made(*targets: str, **config: object) -> tuple[Run, bool]:
        settings = {"encoder": "stub", "pictures": False, **FAST, **config}
        done = snakemake(run, *targets, photos=archive, **settings)
        assert done.code == 0, done.output
        return done, 'id="persons"' in page_of(done)

    pack("Grace_Hopper")
    done, shown = made("report")
    assert (done.jobs["group_faces"], shown) == (0, False)
    assert made("report", "people")[1]
    assert made("report")[1]
    assert not made("report")[0].jobs
    assert made("people", same_person=0.4)[0].jobs["group_faces"]
    done, shown = made("report", same_person=0.4)
    assert (set(done.jobs), shown) == ({"report"}, True)
    # An audit and a search, here and in later reports.
    assert 'id="audit"' in page_of(made("report", "audit", same_person=0.4)[0])
    query = sample_photos / "Grace_Hopper/Grace_Hopper_0002.jpg"
    assert 'id="nearest"' in page_of(made("report", "find", same_person=0.4, query=query)[0])
    page = page_of(made("report", same_person=0.4)[0])
    assert ('id="audit"' in page, 'id="nearest"' in page) == (True, True)
    # Another name of the folder leaves the embeddings as they are.
    pack("Grace")
    done, shown = made("report", same_person=0.4)
    assert (done.jobs["group_faces"], shown) == (0, False)
    for name in ("people", "audit", "find"):
        assert f"results/{name}.csv is of other faces" in done.output
    assert not re.search('id="(audit|nearest)"', page_of(done))
    assert made("people", "report", same_person=0.4)[1]


def test_no_name_is_markup(full: Run) -> None:
    text = page_of(full)
    assert "<script>alert" not in text
    assert "<!--" not in text
    assert "<b>page" not in text


def test_nothing_changed_writes_nothing(full: Run, source: Path) -> None:
    again = snakemake(full.results.parent, *TARGETS, photos=source, query=query_of(source), **FAST)
    assert (again.code, dict(again.jobs)) == (0, {}), again.output


@pytest.fixture
def copied(full: Run, tmp_path: Path) -> Path:
    """A copy of the run with the report, to go on from."""
    shutil.copytree(full.results.parent, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("key", ["pictures", "paths"])
def test_a_report_goes_that_shows_what_a_later_run_does_not_want(
    key: str, copied: Path, source: Path
) -> None:
    assert (copied / "results/report.html").exists()
    run = snakemake(copied, photos=source, **FAST, **{key: False})
    assert run.code == 0, run.output
    assert not (copied / "results/report.html").exists()


def test_a_report_to_publish_has_no_pixel_and_no_name(copied: Path, source: Path) -> None:
    run = write_report(copied, source, pictures=False, paths=False)
    text = page_of(run)
    assert "data:image" not in text
    assert NAMES.findall(text) == []
    assert "person 1" in text
    again = write_report(copied, source, pictures=False, paths=False)
    assert dict(again.jobs) == {}, again.output
    assert page_of(again) == text


def test_a_report_without_names_shows_photos(copied: Path, source: Path) -> None:
    text = page_of(write_report(copied, source, paths=False))
    assert "data:image/webp" in text
    assert NAMES.findall(re.sub(r"base64,[\w+/=]+", "", text)) == []
