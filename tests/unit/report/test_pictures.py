"""What the pictures are made of, against dlib, numpy and cases counted by hand."""

import io
import json
import math
import tarfile
from pathlib import Path

import altair as alt
import dlib
import face_recognition
import numpy as np
import pandas as pd
import pytest
import skimage.data
import yaml
from docutils import nodes
from docutils.core import publish_doctree
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.export import export
from meanface.engine.face import Face
from meanface.engine.settings import EngineSettings
from meanface.errors import AccountingError
from meanface.report.figures import (
    Tile,
    as_page,
    contact_sheet,
    counted,
    folder_and_name,
    most_frequent,
    new_figure,
    of_every_reason,
    rst_table,
    sample_of,
    save,
    shown,
    shuffled,
)
from meanface.report.pixels import around, mean_faces, read_photos, thumbnail
from meanface.results.variation import chance, principal_directions, settling
from tests.runs import ROOT

Pixels = NDArray[np.uint8]
RNG = np.random.default_rng(1)
EMBEDDINGS = RNG.normal(size=(500, 128)).astype(np.float32)
MEAN = EMBEDDINGS.astype(float).mean(axis=0)


def settings(**overrides: object) -> EngineSettings:
    defaults = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    return EngineSettings.of(defaults | {"device": "cpu"} | overrides)


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def write_tar(target: Path, photos: dict[str, bytes]) -> Path:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in photos.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("<script>alert(1)</script>.jpg", "<script>alert(1)</script>.jpg"),
        ("Café, $x$ 東京.jpg", "Café, $x$ 東京.jpg"),
        ("two\nlines\r.jpg", r"two\nlines\r.jpg"),
        ("gpj.\u202eelbisivni", r"gpj.\u202eelbisivni"),
        ("a" * 100, "a" * 29 + "…" + "a" * 30),
        ("a" * 60, "a" * 60),
    ],
)
def test_a_name_is_shown_on_one_line(name: str, text: str) -> None:
    assert shown(name) == text
    assert len(shown(name)) <= 60


@pytest.mark.parametrize("most", range(1, 12))
def test_a_long_name_keeps_its_ends(most: int) -> None:
    text = shown("0123456789", most)
    assert len(text) == min(most, 10)
    head, _, tail = text.partition("…")
    assert "0123456789".startswith(head)
    assert "0123456789".endswith(tail)


def test_a_photo_is_named_by_folder_and_name() -> None:
    assert folder_and_name("lfw/Ann/1.jpg") == ["lfw/Ann/", "1.jpg"]
    assert folder_and_name("1.jpg") == ["", "1.jpg"]


def test_dollars_and_backslashes_in_a_name_are_drawn_as_they_are(tmp_path: Path) -> None:
    names = [r"$\frac{$.jpg", "$x$.jpg", "x.jpg"]
    for index, name in enumerate(names):
        sheet = contact_sheet(name, {name: [Tile(None, [name], instead=name)]})
        save(sheet, tmp_path / f"{index}.png", tmp_path / f"{index}.svg")
    # As mathematics, $x$ would be an x in italics.
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "2.png").read_bytes()
    assert 'id="DejaVuSans-Oblique' not in (tmp_path / "1.svg").read_text(encoding="utf-8")


def test_a_figure_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in "ab":
        figure = new_figure("finding")
        figure.subplots().plot([1, 2])
        save(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
    for kind in "png", "svg":
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.svg", "b.png", "b.svg"}


def test_no_text_of_a_chart_ends_its_script(tmp_path: Path) -> None:
    names = ["</script><script>alert(1)</script>", "<!--<script>", "a&b\\"]
    chart = alt.Chart(pd.DataFrame({"x": [1, 2, 3], "name": names})).mark_point().encode(x="x:Q")
    as_page(chart, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if "const spec = " in line)
    assert "<" not in line
    (rows,) = json.loads(line.partition("const spec = ")[2].rstrip(";"))["datasets"].values()
    assert [row["name"] for row in rows] == names
    assert "src=" not in page.partition("<body>")[2]


def test_a_table_for_the_report_takes_no_text_for_markup(tmp_path: Path) -> None:
    texts = ["a_ `b`_ *c* |d| :e:`f` [1]_", ".. raw:: html", "<script>alert(1)</script>", "a\\b"]
    rst_table({text: text for text in texts} | {"photos": 5321}, tmp_path / "table.rst")
    source = (tmp_path / "table.rst").read_text(encoding="utf-8")
    document = publish_doctree(source, settings_overrides={"halt_level": 2})
    cells = [entry.astext() for entry in document.findall(nodes.entry)]
    assert cells == [*(text for text in texts for _ in range(2)), "photos", "5,321"]
    plain = (nodes.document, nodes.table, nodes.tgroup, nodes.colspec, nodes.tbody, nodes.row)
    assert all(
        isinstance(node, (*plain, nodes.entry, nodes.paragraph, nodes.Text))
        for node in document.findall()
    )


# --- which rows --------------------------------------------------------------------------------


def test_a_sample_is_the_same_whatever_the_order() -> None:
    paths = [f"{number}.jpg" for number in range(1000)]
    few = sample_of(paths, 100)
    assert len(few) == len(set(few)) == 100
    assert list(few) == sorted(few)
    backwards = paths[::-1]
    assert {backwards[i] for i in sample_of(backwards, 100)} == {paths[i] for i in few}
    assert list(sample_of(paths, 5000)) == list(range(1000))
    # Spread evenly: of a third of the paths about a third.
    assert 20 < sum(i < 333 for i in few) < 46
    assert sorted(shuffled(paths)) == list(range(1000))
    assert list(sample_of([], 5)) == []


def test_the_people_with_the_most_photos() -> None:
    people = pd.Series(["b", "a", "b", "a", "", "", "", "c", "d", "d", "d"])
    assert most_frequent(people, 2).to_dict() == {"d": 3, "a": 2}
    assert list(most_frequent(people, 9).index) == ["d", "a", "b"]
    assert most_frequent(pd.Series(["", "x"]), 9).empty


def test_failures_are_shown_of_every_reason() -> None:
    reasons = ["no_face"] * 5000 + ["truncated"] * 320 + ["crashed"]
    table = pd.DataFrame({"path": [f"{i}.jpg" for i in range(5321)], "reason": reasons})
    few = of_every_reason(table, 101)
    assert few["reason"].value_counts().to_dict() == {"no_face": 50, "truncated": 50, "crashed": 1}
    assert few["reason"].is_monotonic_increasing
    assert not few["path"].duplicated().any()
    assert len(of_every_reason(table, 6000)) == 5321


def test_duplicates_count_unless_the_mean_leaves_them_out() -> None:
    faces = pd.DataFrame({"path": ["a", "b", "c"], "duplicate_of": ["", "a", ""]})
    assert counted(faces, deduplicate=False)["path"].tolist() == ["a", "b", "c"]
    assert counted(faces, deduplicate=True).index.tolist() == [0, 2]


# --- curves -------------------------------------------------------------------------------------


def test_how_the_mean_settles() -> None:
    counts = [1, 2, 3, 50, 499, 500]
    expected = [
        math.dist([math.fsum(column) / k for column in EMBEDDINGS[:k].T.tolist()], MEAN)
        for k in counts
    ]
    assert settling(EMBEDDINGS, MEAN, counts) == pytest.approx(expected, abs=1e-12)
    assert settling(EMBEDDINGS[:7], MEAN, [7]) == pytest.approx(
        [math.dist(EMBEDDINGS[:7].astype(float).mean(axis=0), MEAN)], abs=1e-12
    )
    assert settling(EMBEDDINGS, MEAN, [500])[0] < 1e-12


def test_what_chance_lets_expect_is_what_shuffling_gives() -> None:
    counts = np.array([1, 10, 100, 400, 500])
    squares = np.mean(
        [settling(RNG.permutation(EMBEDDINGS), MEAN, counts.tolist()) ** 2 for _ in range(200)],
        axis=0,
    )
    expected = chance(np.cov(EMBEDDINGS.T), 500, counts)
    assert expected == pytest.approx(np.sqrt(squares), rel=0.03, abs=1e-9)
    assert expected[-1] == 0


def test_the_directions_of_most_variance() -> None:
    stretched = EMBEDDINGS * np.linspace(5, 1, 128)
    directions, shares = principal_directions(np.cov(stretched.T))
    _, values, rows = np.linalg.svd(stretched - stretched.mean(axis=0), full_matrices=False)
    assert shares == pytest.approx(values**2 / (values**2).sum())
    assert np.abs((directions * rows.T).sum(axis=0)) == pytest.approx(1)
    assert (directions.max(axis=0) > -directions.min(axis=0)).all()
    for nothing in np.zeros((128, 128)), np.nan_to_num(np.full((128, 128), np.nan)):
        assert not principal_directions(nothing)[1].any()


# --- pixels -------------------------------------------------------------------------------------


def test_photos_are_read_by_name_from_their_shards(tmp_path: Path) -> None:
    long = "ü" * 150 + "/<script>.jpg"
    tars = {
        "0000": write_tar(tmp_path / "0000.tar", {"a": b"1", long: b"22", "z": b""}),
        "0001": write_tar(tmp_path / "0001.tar", {"b": b"333"}),
    }
    table = pd.DataFrame(
        {"path": ["b", long, long, "z"], "shard": ["0001", "0000", "0000", "0000"]}
    )
    assert list(read_photos(table, tars)) == [(long, b"22"), ("z", b""), ("b", b"333")]
    table.loc[0, "path"] = "gone\n.jpg"
    with pytest.raises(AccountingError, match=r"0001\.tar does not hold photo 'gone\\n\.jpg'"):
        list(read_photos(table, tars))


@pytest.fixture(scope="module")
def landmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("models") / "landmarks.npy"
    export("landmarks", target)
    return target


@pytest.mark.parametrize("points", [5, 68])
def test_the_mean_face_is_the_average_of_dlibs_chips(
    tmp_path: Path, landmarks: Path, points: int
) -> None:
    astronaut = skimage.data.astronaut()
    photos = {
        "a.png": astronaut,
        "b.png": np.ascontiguousarray(astronaut[:, ::-1]),
        "c.png": np.ascontiguousarray(astronaut[20:, 30:]),
    }
    chips, rows = {}, []
    for name, pixels in photos.items():
        (box,) = face_recognition.face_locations(pixels, 0)[:1]
        top, right, bottom, left = box
        predictor = getattr(face_recognition.api, f"pose_predictor_{points}_point")
        shape = predictor(pixels, dlib.rectangle(left, top, right, bottom))
        chips[name] = dlib.get_face_chip(pixels, shape, 150, 0.25).astype(float)
        rows.append((name, left, top, right, bottom, 1.0, "0000"))
    columns = ["path", "left", "top", "right", "bottom", "score", "shard"]
    faces = pd.DataFrame([*rows, ("gone.png", 0, 0, 9, 9, 1.0, "0000")], columns=columns)
    tar = write_tar(tmp_path / "0000.tar", {name: png(pixels) for name, pixels in photos.items()})
    everybody, two, one = mean_faces(
        faces,
        [np.array([0, 1, 2]), np.array([0, 2]), np.array([1])],
        {"0000": tar},
        settings(landmarks=points),
        {"landmarks": landmarks},
    )
    a, b, c = (chips[name] for name in photos)
    for image, average in ((everybody, (a + b + c) / 3), (two, (a + c) / 2), (one, b)):
        assert (image.dtype, image.shape) == (np.uint8, (150, 150, 3))
        assert np.abs(image - average).max() <= 0.5


def test_the_square_around_a_face() -> None:
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[40:60, 40:60] = (255, 0, 0)
    square = around(pixels, Face(40, 40, 59, 59, 1), 40)
    red = (square == (255, 0, 0)).all(axis=2)
    assert square.shape == (40, 40, 3)
    assert red[10:30, 10:30].all()
    assert red.sum() == 400
    # At the corner of the photo three quarters lie outside.
    corner = around(pixels, Face(-10, -10, 9, 9, 1), 40)
    assert (corner == 0).all(axis=2).sum() == 400
    assert len(np.unique(corner)) == 2


@pytest.mark.parametrize("shape", [(300, 100), (100, 300), (10, 20), (1, 500)])
def test_a_thumbnail_fits(shape: tuple[int, int]) -> None:
    pixels = np.zeros((*shape, 3), np.uint8)
    small = thumbnail(pixels, 60)
    assert small.shape == (60, 60, 3)
    height, width = shape
    scale = min(60 / max(shape), 1)
    dark = (small < 100).all(axis=2)
    assert dark.any(axis=1).sum() == pytest.approx(max(1, height * scale), abs=1)
    assert dark.any(axis=0).sum() == pytest.approx(max(1, width * scale), abs=1)
