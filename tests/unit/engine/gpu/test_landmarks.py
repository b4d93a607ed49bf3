"""The landmarks and face chips of a GPU against dlib's."""

from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meanface.engine.chips import PADDING, SIZE  # noqa: E402
from meanface.engine.gpu.landmarks import Landmarks, aligned  # noqa: E402
from meanface.engine.gpu.pixels import Pixels, cut_out  # noqa: E402
from tests.unit.engine.gpu import photos as made  # noqa: E402

BOXES = [(40, 30, 150, 140), (-30, -20, 80, 90), (100, 90, 260, 250), (60, 60, 71, 71)]


@pytest.fixture(scope="module")
def find(exported: dict[str, Path], cpu: object) -> Landmarks:
    return Landmarks(exported["landmarks5"], cpu)


@pytest.fixture(scope="module")
def oracle() -> dlib.shape_predictor:
    return dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())


def faces() -> tuple[list[made.Pixels], list[tuple[int, tuple[int, int, int, int]]]]:
    """Photos, and faces as the number of the photo and the box."""
    photos = [made.pixels_of(name) for name in made.NAMES]
    found = []
    for number, photo in enumerate(photos):
        for box in dlib.get_frontal_face_detector()(photo, 1):
            found.append((number, (box.left(), box.top(), box.right(), box.bottom())))
    assert len(found) >= 2
    return photos, found


def test_landmarks_are_dlibs(find: Landmarks, oracle: dlib.shape_predictor) -> None:
    photos, found = faces()
    found += [(number, box) for number in range(len(photos)) for box in BOXES]
    found.reverse()  # photos in any order
    points = find(
        Pixels.of(made.tensors(photos)),
        torch.tensor([number for number, _ in found]),
        torch.tensor([box for _, box in found]),
    )
    for (number, box), theirs in zip(found, points.tolist(), strict=True):
        expected = oracle(photos[number], dlib.rectangle(*box)).parts()
        assert theirs == [[point.x, point.y] for point in expected]


def test_chips_are_dlibs(find: Landmarks, oracle: dlib.shape_predictor) -> None:
    photos, found = faces()
    pixels = Pixels.of(made.tensors(photos))
    which = torch.tensor([number for number, _ in found])
    places = aligned(which, find(pixels, which, torch.tensor([b for _, b in found])), SIZE, PADDING)
    chips = cut_out(pixels, places.places, SIZE, exact=True).numpy().astype(int)
    for (number, box), chip, angle in zip(found, chips, places.angles.tolist(), strict=True):
        landmarks = oracle(photos[number], dlib.rectangle(*box))
        expected = dlib.get_face_chip(photos[number], landmarks, SIZE, PADDING).astype(int)
        assert np.abs(chip - expected).max() <= 1
        assert np.mean(chip == expected) > 0.9999
        turn = -np.degrees(dlib.get_face_chip_details(landmarks, SIZE, PADDING).angle)
        assert angle == pytest.approx(turn, abs=1e-3)
