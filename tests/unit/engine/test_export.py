"""The ONNX encoder against dlib's own, and the file that `export` writes.

The ONNX detector is tested through `meanface.cnn`, in test_cnn.py.
"""

from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
import pytest
import skimage.data
import yaml
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from meanface.engine.export import export
from meanface.engine.session import open_session, run_session
from meanface.engine.settings import EngineSettings
from meanface.engine.weights import WEIGHTS
from meanface.errors import DeviceError, UserError
from tests.lfw import lfw_photos, needs_lfw
from tests.runs import ROOT


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> InferenceSession:
    path = tmp_path_factory.mktemp("models") / "encoder.onnx"
    export("encoder", path)
    return open_session(path, "cpu")


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


@pytest.mark.parametrize("model", ["encoder", "cnn", "cnn_cuda", "hog", "front"])
def test_export_writes_the_same_bytes_again_and_nothing_else(model: str, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export(model, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "b.onnx"}


def test_export_refuses_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sha256 = WEIGHTS["cnn"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    changed = tmp_path / "changed.dat"
    changed.write_bytes(content)
    monkeypatch.setitem(WEIGHTS, "cnn", (changed, sha256))
    with pytest.raises(UserError, match=r"changed\.dat.*reinstall"):
        export("cnn", tmp_path / "cnn.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"changed.dat"}


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", MemoryError),
        ("CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED", MemoryError),
        ("std::bad_alloc", MemoryError),
        ("CUDA failure 700: an illegal memory access was encountered", DeviceError),
        ("CUBLAS failure 1: CUBLAS_STATUS_NOT_INITIALIZED", DeviceError),
        ("Got invalid dimensions for input: chips", RuntimeError),
    ],
)
def test_what_onnxruntime_raises_is_told_apart(text: str, raised: type[Exception]) -> None:
    class Session:
        def run(self, outputs: None, inputs: dict[str, object]) -> None:
            raise RuntimeError(text)

    with pytest.raises(raised, match=text[:12]):
        run_session(Session(), {})  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_model_that_the_settings_ask_for_can_be_exported(device: str, tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    wanted = {"hog": "quick", "landmarks": 68, "device": device}
    for model in EngineSettings.of(config | wanted).models:
        export(Path(model).stem, tmp_path / model)
        assert (tmp_path / model).stat().st_size
