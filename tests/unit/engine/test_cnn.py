"""The CNN detector against dlib's: the same faces, box for box."""

from collections.abc import Callable
from itertools import product

import dlib
import numpy as np
import onnxruntime
import pytest
import skimage.data
from matplotlib import cbook
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.cnn import CnnDetector
from meanface.engine.export import export
from meanface.engine.session import open_session
from meanface.engine.weights import WEIGHTS
from tests.lfw import lfw_photos, needs_lfw

Image8 = NDArray[np.uint8]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    path = tmp_path_factory.mktemp("models") / "cnn.onnx"
    export("cnn", path)
    return open_session(path)


@pytest.fixture(scope="module")
def detector(session: onnxruntime.InferenceSession) -> CnnDetector:
    return CnnDetector(session, strip=1 << 19)


@pytest.fixture(scope="module")
def same(detector: CnnDetector) -> Callable[[Image8, int], int]:
    """Assert that both detectors find the same faces, and give their number."""
    oracle = dlib.cnn_face_detection_model_v1(str(WEIGHTS["cnn"][0]))

    def compare(image: Image8, upsample: int) -> int:
        faces = detector(image, upsample)
        expected = oracle(image, upsample)
        assert [(face.left, face.top, face.right, face.bottom) for face in faces] == [
            (found.rect.left(), found.rect.top(), found.rect.right(), found.rect.bottom())
            for found in expected
        ]
        scores = [found.confidence for found in expected]
        assert [face.score for face in faces] == pytest.approx(scores, abs=1e-5)
        return len(faces)

    return compare


def astronaut() -> Image8:
    """Eileen Collins, the face in the middle, 230 x 230."""
    return np.ascontiguousarray(skimage.data.astronaut()[:230, 110:340])


def scaled(image: Image8, height: int, width: int) -> Image8:
    return np.array(Image.fromarray(image).resize((width, height)))


def crowd() -> Image8:
    """Faces of many sizes, some of them partly behind another."""
    image = np.full((520, 640, 3), 90, np.uint8)
    places = [(0, 0, 320), (270, 0, 250), (300, 160, 200), (0, 320, 160), (0, 440, 200)]
    places += [(190, 450, 130), (190, 510, 130), (320, 330, 200), (370, 490, 150)]
    for top, left, size in places:
        image[top : top + size, left : left + size] = scaled(astronaut(), size, size)
    return image


def test_a_crowd(same: Callable[[Image8, int], int]) -> None:
    assert same(crowd(), 0) >= 5


def test_portraits(same: Callable[[Image8, int], int]) -> None:
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photo:
        hopper = np.asarray(photo.convert("RGB"))
    assert same(scaled(hopper, 260, 220), 0) == 1
    assert same(astronaut(), 0) == 1
    assert same(scaled(astronaut(), 140, 140), 1) == 1


def test_a_face_that_fills_the_photo(same: Callable[[Image8, int], int]) -> None:
    # Found in a level of the pyramid's second column.
    assert same(scaled(astronaut()[55:165, 60:170], 300, 300), 0) == 1


def test_a_small_face_before_a_large_one(same: Callable[[Image8, int], int]) -> None:
    image = scaled(astronaut(), 320, 320)
    small = scaled(astronaut(), 200, 200)[60:140, 52:132]
    image[106:186, 90:170] = small  # more than half the small one's box lies in the large one's
    assert same(image, 0) == 2


@needs_lfw
@pytest.mark.parametrize(("count", "upsample"), [(20, 0), (3, 1)])
def test_lfw(same: Callable[[Image8, int], int], count: int, upsample: int) -> None:
    assert sum(same(photo, upsample) for _, photo in lfw_photos(count)) >= count


@needs_lfw
@pytest.mark.slow
@pytest.mark.parametrize("upsample", [0, 1])
def test_150_photos_of_lfw(same: Callable[[Image8, int], int], upsample: int) -> None:
    assert sum(same(photo, upsample) for _, photo in lfw_photos(150)) >= 150


SIZES = [(20, 20), (7, 200), (200, 10), (21, 60), (60, 21), (97, 41), (250, 90), (90, 250)]
SIZES += [(450, 60), (60, 450), (500, 120), (120, 500), (173, 229)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_sizes(same: Callable[[Image8, int], int], height: int, width: int) -> None:
    same(scaled(astronaut(), height, width), 0)
    same(scaled(crowd(), height, width), 0)


@pytest.mark.parametrize(("height", "width"), [(12, 10), (60, 60), (40, 130), (130, 40)])
def test_sizes_enlarged(same: Callable[[Image8, int], int], height: int, width: int) -> None:
    same(scaled(astronaut(), height, width), 1)


@pytest.mark.parametrize(
    ("height", "width"),
    [*product((1, 2, 3, 5, 6), repeat=2), (300, 1), (1, 300), (40, 5), (600, 9)],
)
def test_no_face_in_images_on_which_dlib_fails(
    detector: CnnDetector, height: int, width: int
) -> None:
    image = scaled(astronaut(), height, width)
    assert detector(image, 0) == detector(image, 1) == []


def test_strips_give_the_faces_of_the_whole(
    detector: CnnDetector, session: onnxruntime.InferenceSession
) -> None:
    image = np.vstack([astronaut(), scaled(astronaut(), 120, 230), astronaut()])
    whole = detector(image, 1)
    assert len(whole) > 1
    assert CnnDetector(session, strip=1)(image, 1) == whole


def test_a_batch_gives_what_its_images_give(detector: CnnDetector) -> None:
    empty = np.zeros((230, 230, 3), np.uint8)
    images = np.stack([astronaut(), empty, astronaut()[:, ::-1]])
    assert detector.batch(images, 0) == [detector(image, 0) for image in images]
    assert [len(faces) for faces in detector.batch(images, 0)] == [1, 0, 1]
