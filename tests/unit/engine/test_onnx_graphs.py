"""The ONNX encoder against dlib's own. The detector is tested in test_cnn.py."""

import dlib
import face_recognition_models
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from meanface.engine.export import export
from meanface.engine.session import open_session
from meanface.engine.weights import WEIGHTS
from tests.lfw import lfw_photos, needs_lfw


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> InferenceSession:
    path = tmp_path_factory.mktemp("models") / "encoder.onnx"
    export("encoder", path)
    return open_session(path)


def encode(session: InferenceSession, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    (embeddings,) = session.run(None, {"chips": chips})
    return np.asarray(embeddings)


def dlib_encode(chips: NDArray[np.uint8]) -> NDArray[np.float64]:
    oracle = dlib.face_recognition_model_v1(str(WEIGHTS["encoder"][0]))
    return np.array([oracle.compute_face_descriptor(chip) for chip in chips])


def face_chips(photos: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The chips that dlib encodes: every face that its HOG detector finds, aligned."""
    detect = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(
        face_recognition_models.pose_predictor_five_point_model_location()
    )
    return np.array(
        [
            dlib.get_face_chip(photo, landmarks(photo, box), size=150, padding=0.25)
            for photo in photos
            for box in detect(photo, 0)
        ]
    )


def noise(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 150, 150, 3), dtype=np.uint8)


def test_encoder_gives_dlib_s_embeddings(session: InferenceSession) -> None:
    chips = np.concatenate([face_chips([skimage.data.astronaut()]), noise(4)])
    embeddings = encode(session, chips)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, dlib_encode(chips), rtol=0, atol=1e-6)


def test_encoder_and_dlib_agree_at_the_edges(session: InferenceSession) -> None:
    # Black, white, and one bright corner each. Flat chips are where float32 rounds most.
    chips = np.zeros((6, 150, 150, 3), np.uint8)
    chips[1] = 255
    chips[2, :9, :9] = chips[3, :9, -9:] = chips[4, -9:, :9] = chips[5, -9:, -9:] = 255
    np.testing.assert_allclose(encode(session, chips), dlib_encode(chips), rtol=0, atol=5e-6)


@needs_lfw
def test_encoder_gives_dlib_s_embeddings_of_lfw(session: InferenceSession) -> None:
    chips = face_chips([photo for _, photo in lfw_photos(20)])
    assert len(chips) >= 18
    np.testing.assert_allclose(encode(session, chips), dlib_encode(chips), rtol=0, atol=1e-6)


def test_an_embedding_does_not_depend_on_the_batch(session: InferenceSession) -> None:
    chips = noise(33)
    whole = encode(session, chips)
    single = np.concatenate([encode(session, chips[i : i + 1]) for i in range(len(chips))])
    assert whole.tobytes() == single.tobytes()
    assert encode(session, chips[::-1]).tobytes() == whole[::-1].tobytes()
    assert encode(session, chips[:16]).tobytes() == whole[:16].tobytes()
    assert encode(session, chips[:0]).shape == (0, 128)
