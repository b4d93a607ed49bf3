"""The 5 and 68 landmarks against dlib's: the same pixels, point for point."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
import pytest
import skimage.data
from matplotlib import cbook
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.export import export
from meanface.engine.face import Face
from meanface.engine.landmarks import Landmarks
from meanface.engine.weights import WEIGHTS
from meanface.errors import UserError
from tests.lfw import lfw_photos, needs_lfw

Image8 = NDArray[np.uint8]


ORACLES = {
    5: face_recognition_models.pose_predictor_five_point_model_location,
    68: face_recognition_models.pose_predictor_model_location,
}


@pytest.fixture(scope="module", params=[5, 68])
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def model(number: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / f"landmarks{number}.npy"
    export(path.stem, path)
    return path


@pytest.fixture(scope="module")
def find(model: Path) -> Landmarks:
    return Landmarks(model)


@pytest.fixture(scope="module")
def oracle(number: int) -> dlib.shape_predictor:
    return dlib.shape_predictor(ORACLES[number]())


@pytest.fixture(scope="module")
def same(find: Landmarks, oracle: dlib.shape_predictor) -> Callable[[Image8, Face], None]:
    """Assert that both find the same landmarks of a face."""

    def compare(photo: Image8, face: Face) -> None:
        (found,) = find([(photo, face)])
        assert points(found) == points(oracle(photo, rectangle(face)))

    return compare


def rectangle(face: Face) -> dlib.rectangle:
    return dlib.rectangle(face.left, face.top, face.right, face.bottom)


def points(found: dlib.full_object_detection) -> list[tuple[int, int]]:
    return [(point.x, point.y) for point in found.parts()]


def boxed(left: int, top: int, right: int, bottom: int) -> Face:
    return Face(left, top, right, bottom, 1.0)


def faces_of(photo: Image8) -> list[Face]:
    return [boxed(box.left(), box.top(), box.right(), box.bottom()) for box in detector()(photo, 0)]


@cache
def detector() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


def astronaut() -> Image8:
    return np.ascontiguousarray(skimage.data.astronaut())


def hopper() -> Image8:
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photo:
        return np.array(photo.convert("RGB"))


@pytest.mark.parametrize("photo", [astronaut(), hopper(), astronaut()[:, ::-1].copy()])
def test_portraits(same: Callable[[Image8, Face], None], photo: Image8) -> None:
    faces = faces_of(photo)
    assert faces
    for face in faces:
        same(photo, face)


def test_the_chip_cut_by_them(find: Landmarks, oracle: dlib.shape_predictor, number: int) -> None:
    photo = astronaut()
    (face,) = faces_of(photo)
    (found,) = find([(photo, face)])
    assert found.rect == rectangle(face)
    assert found.num_parts == number
    chip = dlib.get_face_chip(photo, found, 150, 0.25)
    expected = dlib.get_face_chip(photo, oracle(photo, rectangle(face)), 150, 0.25)
    np.testing.assert_array_equal(chip, expected)


@needs_lfw
def test_lfw(find: Landmarks, oracle: dlib.shape_predictor) -> None:
    faces = [(photo, face) for _, photo in lfw_photos(60) for face in faces_of(photo)]
    assert len(faces) >= 57
    for (photo, face), found in zip(faces, find(faces), strict=True):
        assert points(found) == points(oracle(photo, rectangle(face)))


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 40])
def test_faces_of_several_photos_at_once(
    find: Landmarks, oracle: dlib.shape_predictor, count: int
) -> None:
    random = np.random.default_rng(count)
    photos = [astronaut(), hopper(), astronaut()[:300, 100:400], np.zeros((1, 700, 3), np.uint8)]
    faces = []
    for i in range(count):
        left, top, side = (int(number) for number in random.integers(20, 200, 3))
        faces.append((photos[i % 4], boxed(left, top, left + side, top + side + i)))
    found = find(faces)
    assert [one.rect for one in found] == [rectangle(face) for _, face in faces]
    assert list(map(points, found)) == [points(oracle(p, rectangle(face))) for p, face in faces]


BOXES = [
    *[boxed(-60, -40, 120, 140), boxed(400, 380, 620, 640), boxed(-900, 100, -600, 400)],
    *[boxed(900, 900, 990, 990), boxed(-3000, -3000, 6000, 6000), boxed(0, 0, 511, 511)],
    *[boxed(220, 110, 220, 110), boxed(220, 110, 221, 111), boxed(200, 90, 207, 97)],
    *[boxed(100, 20, 400, 60), boxed(200, 0, 230, 400), boxed(250, 150, 200, 100)],
]


@pytest.mark.parametrize("box", BOXES)
def test_boxes(same: Callable[[Image8, Face], None], box: Face) -> None:
    same(astronaut(), box)


def test_boxes_at_random(same: Callable[[Image8, Face], None]) -> None:
    random, photo = np.random.default_rng(1), hopper()
    height, width = photo.shape[:2]
    for side in 2 ** random.uniform(1, 11, 200):
        left, top = random.integers(-side, width), random.integers(-side, height)
        wide, high = random.uniform(0.7 * side, 1.4 * side, 2)
        same(photo, boxed(int(left), int(top), int(left + wide), int(top + high)))


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_flat_photos(same: Callable[[Image8, Face], None], level: int) -> None:
    same(np.full((90, 120, 3), level, np.uint8), boxed(10, 10, 100, 100))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (60, 90), (301, 203)])
def test_noise(same: Callable[[Image8, Face], None], height: int, width: int) -> None:
    photo = np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)
    same(photo, boxed(0, 0, width - 1, height - 1))


def test_grey_photos(same: Callable[[Image8, Face], None]) -> None:
    photo = np.repeat(astronaut()[:, :, 1:2], 3, axis=2)
    for face in faces_of(photo):
        same(photo, face)


def test_photos_that_are_views(find: Landmarks) -> None:
    photo = astronaut()
    (face,) = faces_of(photo)
    framed = np.zeros((600, 600, 3), np.uint8)
    framed[40:552, 30:542] = photo
    view = framed[40:552, 30:542]
    in_view, in_photo = find([(view, face), (photo, face)])
    assert points(in_view) == points(in_photo)


def test_threads_share_it(find: Landmarks) -> None:
    photo, boxes = hopper(), [boxed(160 + i, 60, 330 + i, 250) for i in range(60)]
    together = list(map(points, find([(photo, box) for box in boxes])))
    with ThreadPoolExecutor(4) as pool:
        alone = pool.map(lambda box: points(find([(photo, box)])[0]), boxes)
        assert list(alone) == together


def test_export_writes_the_same_bytes_again_and_nothing_else(model: Path, tmp_path: Path) -> None:
    export(model.stem, tmp_path / "again.npy")
    assert (tmp_path / "again.npy").read_bytes() == model.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"again.npy"}


def test_export_refuses_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path(face_recognition_models.pose_predictor_five_point_model_location())
    monkeypatch.setitem(WEIGHTS, "landmarks68", (other, WEIGHTS["landmarks68"][1]))
    with pytest.raises(UserError, match=r"5_face_landmarks\.dat.*reinstall"):
        export("landmarks68", tmp_path / "landmarks68.npy")
    assert list(tmp_path.iterdir()) == []
