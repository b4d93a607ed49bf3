"""Exported networks in PyTorch against ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from meanface.engine.gpu.network import Network  # noqa: E402
from meanface.engine.session import open_session, run_session  # noqa: E402
from tests.unit.engine.gpu.photos import NAMES, pixels_of, resized  # noqa: E402


def test_embeddings_are_those_of_onnxruntime(exported: dict[str, Path], cpu: object) -> None:
    chips = np.stack([resized(pixels_of(name), 150, 150) for name in NAMES])
    chips = np.concatenate([chips, chips[:, :, ::-1], np.zeros_like(chips[:1])])
    expected = run_session(open_session(exported["encoder"]), {"chips": chips})
    network = Network(exported["encoder"], cpu, torch.float32)
    found = network(torch.from_numpy(chips)).numpy()
    assert found.shape == (7, 128)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_images_in_a_batch_are_computed_as_if_alone(
    exported: dict[str, Path], cpu: object, value: float
) -> None:
    """What lies beyond an image is seen by no score that is its own."""
    network = Network(exported["cnn"], cpu, torch.float32)
    random = torch.Generator().manual_seed(1)
    image = torch.randn((1, 3, 120, 160), generator=random)
    alone = network(image)
    batch = torch.full((2, 3, 152, 200), value)
    batch[0, :, :120, :160] = image[0]
    heights, widths = torch.tensor([[120, 152], [160, 200]])
    beside = network(batch, (heights, widths))[:1, : alone.shape[1], : alone.shape[2]]
    if value:  # the first convolution has no padding of its own: its last outputs see what follows
        beside, alone = beside[:, :-8, :-8], alone[:, :-8, :-8]
    torch.testing.assert_close(beside, alone, rtol=0, atol=1e-5)
