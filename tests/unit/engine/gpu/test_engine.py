"""The engine of a GPU, which computes on the CPU here, against Engine."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from meanface.engine.decode import PhotoError, decode  # noqa: E402
from meanface.engine.engine import Engine  # noqa: E402
from meanface.engine.gpu.engine import GpuEngine  # noqa: E402
from meanface.engine.outcome import Failure, Outcome  # noqa: E402
from tests.unit.engine.gpu.photos import NAMES, pixels_of, tensors  # noqa: E402
from tests.unit.engines import Pixels, photo, sample, settings  # noqa: E402

CNN = {"detectors": ["cnn@0", "cnn@1"]}


def pixels_of_sample() -> list[Pixels]:
    """Every other photo of the sample, of those that can be decoded, of 300 x 300 at most."""
    found = []
    for one in [*sample().values()][::2]:
        try:
            pixels = decode(one.data or b"", "full", 10**9)
        except PhotoError:
            continue
        image = Image.fromarray(pixels)
        image.thumbnail((300, 300))
        found.append(np.asarray(image))
    return found


def encoded(
    exported: dict[str, Path], photos: list[Pixels], **keys: object
) -> tuple[list[Outcome | None], list[Outcome]]:
    """Give the outcomes of the GPU's engine and of the processor's."""
    on_gpu = GpuEngine(settings(device="cuda", **CNN | keys), exported, "cpu")
    found = on_gpu.outcomes(tensors(photos))
    expected = Engine(settings(**CNN | keys), exported).encode(
        [photo(f"{number}", pixels) for number, pixels in enumerate(photos)]
    )
    return found, expected


def assert_alike(found: Outcome, expected: Outcome) -> None:
    if isinstance(found, Failure) or isinstance(expected, Failure):
        assert found == expected
        return
    [face], [other] = found, expected
    assert (face.faces, face.detector) == (other.faces, other.detector)
    box = [(one.face.left, one.face.top, one.face.right, one.face.bottom) for one in (face, other)]
    assert box[0] == box[1]
    assert face.face.score == pytest.approx(other.face.score, abs=1e-4)
    assert face.angle == pytest.approx(other.angle, abs=1e-3)
    np.testing.assert_allclose(face.embedding, other.embedding, rtol=0, atol=1e-3)


def test_outcomes_are_those_of_the_processor(exported: dict[str, Path]) -> None:
    photos = pixels_of_sample()
    found, expected = encoded(exported, photos)
    known = [outcome is not None for outcome in found]
    assert sum(known) > 0.7 * len(photos)
    for one, other in zip(found, expected, strict=True):
        if one is not None:
            assert_alike(one, other)
    assert any(isinstance(one, Failure) for one in found)
    assert any(isinstance(one, list) for one in found)


@pytest.mark.parametrize(
    "keys",
    [
        {"face": "largest"},
        {"face": "first", "flip": True},
        {"min_face": 1000},
        {"min_score": 100.0},
        {"detect_pixels": 20_000},
        {"upright": False},
    ],
    ids=str,
)
def test_settings(exported: dict[str, Path], keys: dict[str, object]) -> None:
    names = (*NAMES[:2], "Both/Both_0001.jpg", "Failures/Brick_wall.jpg")
    found, expected = encoded(exported, [pixels_of(name) for name in names], **keys)
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        assert_alike(one, other)


def test_a_tilted_face_is_left_to_the_processor(exported: dict[str, Path]) -> None:
    upright = pixels_of(NAMES[0])
    found, _ = encoded(exported, [upright, np.ascontiguousarray(np.rot90(upright))])
    assert isinstance(found[0], list)
    assert not isinstance(found[1], list)


def test_a_photo_that_was_not_decoded_is_left_to_the_processor(exported: dict[str, Path]) -> None:
    engine = GpuEngine(settings(device="cuda", **CNN), exported, "cpu")
    [photo] = tensors([pixels_of(NAMES[0])])
    first, second, third = engine.outcomes([None, photo, None])
    assert first is None and isinstance(second, list) and third is None
    assert engine.outcomes([None]) == [None]
    assert engine.outcomes([]) == []
