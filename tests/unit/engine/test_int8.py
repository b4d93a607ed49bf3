"""The encoder in integers of 8 bits, against dlib's own network and ONNX's reference."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession

from benchmarks import calibrate
from meanface.engine.export import export
from meanface.engine.int8 import Calibration, round_filters
from meanface.engine.processor import has_vnni, is_fast_at_int8
from meanface.engine.session import NO_OVERFLOW, open_session
from meanface.errors import UserError
from tests.lfw import lfw_photos, needs_lfw
from tests.unit.engine.test_onnx_graphs import dlib_encode, encode, face_chips, noise
from tests.unit.engines import settings

FILTERS = np.random.default_rng(3).normal(0, 1, (8, 16, 3, 3))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "encoder_int8.onnx"
    export("encoder_int8", path)
    return path


@pytest.fixture(scope="module")
def session(model: Path) -> InferenceSession:
    return open_session(model)


@pytest.fixture(scope="module")
def chips() -> NDArray[np.uint8]:
    """The faces of the sample, which stand upright in some photos."""
    return np.round(np.stack(calibrate.faces_of_sample()) * 255).astype(np.uint8)


def test_embeddings_are_those_of_dlib_but_for_rounding(
    session: InferenceSession, chips: NDArray[np.uint8]
) -> None:
    errors = np.linalg.norm(encode(session, chips) - dlib_encode(chips), axis=1)
    assert 0.005 < np.median(errors) < 0.04
    assert errors.max() < 0.07


@needs_lfw
def test_embeddings_of_lfw_and_their_mean(session: InferenceSession) -> None:
    chips = face_chips([photo for _, photo in lfw_photos(100)])
    assert len(chips) > 90
    errors = encode(session, chips) - dlib_encode(chips)
    assert np.linalg.norm(errors, axis=1).max() < 0.07
    # The mean of all of LFW's photos is off by 0.005, and that of 100 by as much again at random.
    assert np.linalg.norm(errors.mean(axis=0)) < 0.012


def test_integers_are_added_up_as_the_standard_says(
    model: Path, session: InferenceSession, chips: NDArray[np.uint8]
) -> None:
    """ONNX's own evaluator computes each node as it is written, in float32."""
    as_written = onnx.load(model)
    as_written.opset_import[0].version = 21  # which the evaluator knows, and which means the same
    (wanted,) = cast("list[Any]", ReferenceEvaluator(as_written).run(None, {"chips": chips[:2]}))
    apart = np.linalg.norm(encode(session, chips[:2]) - wanted, axis=1)
    # A sum in the middle between two integers may be rounded to the other one, and those behind it.
    assert apart.min() < 0.001
    assert apart.max() < 0.05


def test_convolutions_are_integers(model: Path) -> None:
    weights = {one.name: one.data_type for one in onnx.load(model).graph.initializer}
    kinds = [
        weights[node.input[0]]
        for node in onnx.load(model).graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in weights
    ]
    # All convolutions but those of the last block: filters and biases.
    assert kinds.count(onnx.TensorProto.INT8) == kinds.count(onnx.TensorProto.INT32) == 27
    assert model.stat().st_size < 15_000_000


def test_pixels_and_pooling_stay_integers(model: Path) -> None:
    graph = onnx.load(model).graph
    after = {
        node.input[0]: [other.op_type for other in graph.node if node.input[0] in other.input]
        for node in graph.node
    }
    [pooling] = [node for node in graph.node if node.op_type == "MaxPool"]
    assert after[pooling.output[0]] == ["QuantizeLinear"]
    assert after["chips"] == ["Transpose"]
    assert after[graph.node[0].output[0]] == ["DequantizeLinear"]


def test_sums_are_exact_with_vnni_and_without(
    model: Path,
    session: InferenceSession,
    chips: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With VNNI no sum overflows. ONNX Runtime's other way would take twice the time."""
    monkeypatch.setattr("meanface.engine.session.has_vnni", lambda: False)
    other = open_session(model)
    assert other.get_session_options().get_session_config_entry(NO_OVERFLOW) == "1"
    assert encode(other, chips).tobytes() == encode(session, chips).tobytes()
    monkeypatch.setattr("meanface.engine.session.has_vnni", lambda: True)
    options = open_session(model).get_session_options()
    with pytest.raises(RuntimeError, match=NO_OVERFLOW):
        options.get_session_config_entry(NO_OVERFLOW)


def test_activations_are_rounded_over_the_ranges_of_the_calibration(model: Path) -> None:
    graph = onnx.load(model).graph
    numbers = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    [pixels] = [node for node in graph.node if node.input[0] == graph.node[0].output[0]]
    nodes = [pixels, *(node for node in graph.node if node.op_type == "QuantizeLinear")]
    rounded = [(float(numbers[node.input[1]]), int(numbers[node.input[2]])) for node in nodes]
    del rounded[2]  # after the pooling, in the steps of the activation before
    for (scale, zero), (low, high) in zip(rounded, Calibration.read().ranges, strict=True):
        assert abs(-zero * scale - min(low, 0)) <= scale
        assert abs((255 - zero) * scale - high) <= scale


def test_an_embedding_does_not_depend_on_the_batch(session: InferenceSession) -> None:
    chips = noise(33)
    whole = encode(session, chips)
    single = np.concatenate([encode(session, chips[i : i + 1]) for i in range(len(chips))])
    assert whole.tobytes() == single.tobytes()


def test_rounding_errors_of_kernels_and_outputs_cancel_out() -> None:
    integers, scales = round_filters(FILTERS)
    assert (integers.dtype, scales.dtype) == (np.int8, np.float32)
    np.testing.assert_allclose(scales, np.abs(FILTERS).max(axis=(1, 2, 3)) / 127, rtol=1e-6)
    errors = integers - FILTERS / scales[:, None, None, None].astype(float)
    assert np.abs(errors).max() < 1.5
    kernels = errors.sum(axis=(2, 3))
    assert np.abs(kernels).max() < 1.5
    assert np.mean(np.abs(kernels) <= 0.5 + 1e-9) > 0.9
    assert np.abs(kernels.sum(axis=1)).max() <= 0.5 + 1e-9
    # Plain rounding does worse.
    plain = (np.rint(FILTERS / scales[:, None, None, None]) * scales[:, None, None, None]) - FILTERS
    assert np.abs(plain.sum(axis=(1, 2, 3)) / scales).max() > 1


def test_integers_stay_as_they_are() -> None:
    exact = np.zeros((2, 3, 3, 3))
    exact[0] = np.arange(27).reshape(3, 3, 3) - 13
    exact[0, 0, 0, 0] = -127
    integers, scales = round_filters(exact)
    assert np.array_equal(integers, exact.astype(np.int8))
    assert scales[0] == 1


@pytest.mark.slow
def test_the_calibration_is_what_its_script_makes() -> None:
    made, kept = calibrate.calibrated(), Calibration.read()
    np.testing.assert_allclose(made.ranges, kept.ranges, rtol=0.02, atol=0.01)
    np.testing.assert_allclose(made.correction, kept.correction, rtol=0, atol=3e-4)


def test_a_gpu_has_no_int8() -> None:
    assert settings(precision="int8").models[0] == "encoder_int8.onnx"
    with pytest.raises(
        UserError, match="cuda needs precision: float16, not int8; or write device: cpu"
    ):
        settings(precision="int8", device="cuda", detectors=["cnn@0"])
    assert settings(precision="int8", device="cuda", encoder="stub").models == []


@pytest.mark.parametrize(
    ("line", "is_fast", "vnni"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", True, True),
        ("flags\t\t: fpu avx2 avx_vnni", True, True),
        ("flags\t\t: fpu avx2 avx512f", False, False),
        ("Features\t: fp asimd asimddp", True, False),
        ("Features\t: fp asimd", False, False),
        ("model name\t: unknown", True, False),
    ],
)
def test_processors_with_instructions_for_integers(
    line: str, is_fast: bool, vnni: bool, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n{line}\n")
    assert is_fast_at_int8(tmp_path / "cpuinfo") == is_fast
    assert has_vnni(tmp_path / "cpuinfo") == vnni
    assert is_fast_at_int8(tmp_path / "nowhere")
    assert not has_vnni(tmp_path / "nowhere")
