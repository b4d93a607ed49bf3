"""Pixels of pictures, against dlib and cases made by hand."""

import io
import tarfile
from pathlib import Path

import dlib
import face_recognition
import numpy as np
import pandas as pd
import pytest
import skimage.data
import yaml
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.export import export
from meanface.engine.face import Face
from meanface.engine.settings import EngineSettings
from meanface.errors import AccountingError
from meanface.report.pixels import around, mean_faces, read_photos, thumbnail
from tests.runs import ROOT

Pixels = NDArray[np.uint8]


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
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    models = {name: folder / name for name in ("cnn", "landmarks5", "landmarks68")}
    for name, target in models.items():
        export(name, target)
    return models


@pytest.mark.parametrize("points", [5, 68])
def test_the_mean_face_is_the_average_of_dlibs_chips(
    tmp_path: Path, models: dict[str, Path], points: int
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
        rows.append((name, left, top, right, bottom, 1.0, "hog@0", "0000"))
    columns = ["path", "left", "top", "right", "bottom", "score", "detector", "shard"]
    faces = pd.DataFrame([*rows, ("gone.png", 0, 0, 9, 9, 1.0, "hog@0", "0000")], columns=columns)
    tar = write_tar(tmp_path / "0000.tar", {name: png(pixels) for name, pixels in photos.items()})
    everybody, two, one = mean_faces(
        faces,
        [np.array([0, 1, 2]), np.array([0, 2]), np.array([1])],
        {"0000": tar},
        settings(landmarks=points),
        models,
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
    dark = np.asarray((small < 100).all(axis=2))
    assert dark.any(axis=1).sum() == pytest.approx(max(1, height * scale), abs=1)
    assert dark.any(axis=0).sum() == pytest.approx(max(1, width * scale), abs=1)
