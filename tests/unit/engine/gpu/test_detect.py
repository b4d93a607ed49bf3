"""The detector of a GPU against CnnDetector, which is dlib's box for box."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meanface.engine.cnn import CnnDetector  # noqa: E402
from meanface.engine.gpu.detect import Detector  # noqa: E402
from meanface.engine.session import open_session  # noqa: E402
from tests.unit.engine.gpu.photos import NAMES, Pixels, pixels_of, resized, tensors  # noqa: E402


@pytest.fixture(scope="module")
def detector(exported: dict[str, Path], cpu: object) -> Detector:
    return Detector(exported["cnn"], cpu, torch.float32)


@pytest.fixture(scope="module")
def oracle(exported: dict[str, Path]) -> CnnDetector:
    return CnnDetector(open_session(exported["cnn"]), 1 << 19)


def of_mixed_sizes() -> list[Pixels]:
    """Photos with one face, with none, with two, and too small for any."""
    eileen, grace, _ = (resized(pixels_of(name), 200, 180) for name in NAMES)
    both = resized(np.concatenate([eileen, grace], axis=1), 330, 600)
    empty = np.zeros((90, 130, 3), np.uint8)
    tiny = np.full((6, 5, 3), 200, np.uint8)
    return [eileen, both, empty, tiny, resized(grace, 150, 210), grace, resized(eileen, 201, 183)]


@pytest.mark.parametrize("upsample", [0, 1])
def test_faces_are_those_of_the_detector_on_processors(
    detector: Detector, oracle: CnnDetector, upsample: int
) -> None:
    photos = of_mixed_sizes()
    found = detector(tensors(photos), upsample)
    assert found.boxes.dtype == torch.int64
    counts = []
    for photo, boxes, scores in zip(photos, found.boxes, found.scores, strict=True):
        faces = oracle(photo, upsample)
        counts.append(len(faces))
        assert int((scores > 0).sum()) == len(faces)
        assert boxes[: len(faces)].tolist() == [
            [face.left, face.top, face.right, face.bottom] for face in faces
        ]
        expected = [face.score for face in faces]
        assert scores[: len(faces)].tolist() == pytest.approx(expected, abs=1e-4)
    assert max(counts) >= 2
    assert counts[2] == counts[3] == 0


def test_photos_without_a_face(detector: Detector) -> None:
    found = detector(tensors([np.zeros((6, 5, 3), np.uint8)] * 2), 0)
    assert found.boxes.shape == (2, 0, 4)
    assert found.scores.shape == (2, 0)


def test_scores_of_images_of_one_size(detector: Detector, oracle: CnnDetector) -> None:
    images = np.stack([resized(pixels_of(name), 112, 112) for name in NAMES])
    found = detector.scores_of(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, oracle.scores_of(images), rtol=0, atol=1e-4)
