"""What a GPU would be given to do. The operations are counted; PyTorch computes on the CPU here."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from benchmarks.gpu import settings_of  # noqa: E402
from benchmarks.gpu_kernels import Count, counted  # noqa: E402
from tests.unit.engine.gpu.photos import NAMES, pixels_of, resized, tensors  # noqa: E402


def counts(exported: dict[str, Path], side: int, copies: int) -> dict[str, Count]:
    """Count for a photo of `side` x `side` pixels, most of which a face fills."""
    photo = resized(pixels_of(NAMES[1])[95:395, 120:420], side, side)
    return counted(settings_of("float32"), exported, tensors([photo] * copies))


def test_more_photos_of_a_size_start_no_more_kernels(
    exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meanface.engine.gpu.detect.TOGETHER", {"cpu": 1 << 19})
    few, more = (counts(exported, 150, copies) for copies in (1, 4))
    assert [*few] == ["detect", "landmarks", "upright", "chips", "encode"]
    for stage, count in few.items():
        assert count.kernels.total() > 20
        assert more[stage].kernels == count.kernels, stage
        assert more[stage].waits == count.waits, stage
    assert more["encode"].moved.total() > 2 * few["encode"].moved.total()


def test_the_cpu_waits_no_more_often_for_more_large_faces(exported: dict[str, Path]) -> None:
    """Each is halved on its own, from one list of all."""
    few, more = (counts(exported, 500, copies) for copies in (1, 3))
    for stage in ("upright", "chips"):
        halved = (more[stage].kernels - few[stage].kernels)["convolution"]
        assert halved >= 2
        assert more[stage].waits == few[stage].waits
