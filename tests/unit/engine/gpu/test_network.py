"""Exported networks in PyTorch against ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

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
    scores = network(batch)
    inside = torch.ones(2, 1, *scores.shape[1:])
    inside[0, :, alone.shape[1] :] = 0
    inside[0, :, :, alone.shape[2] :] = 0
    beside = network(batch, inside)[:1, : alone.shape[1], : alone.shape[2]]
    if value:  # the first convolution has no padding of its own: its last outputs see what follows
        beside, alone = beside[:, :-8, :-8], alone[:, :-8, :-8]
    torch.testing.assert_close(beside, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "exact"), [("cnn", 0.01), ("encoder", 2e-3)])
def test_float16_is_computed_with_multiples_of_8_channels(
    exported: dict[str, Path],
    cpu: object,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    exact: float,
) -> None:
    """The channels that are filled up change no score and no embedding."""
    images = torch.from_numpy(np.stack([resized(pixels_of(one), 150, 150) for one in NAMES]))
    source = images if name == "encoder" else images.permute(0, 3, 1, 2).float() / 256 - 0.4
    half = source if name == "encoder" else source.half()
    expected = Network(exported[name], cpu, torch.float32)(source)
    channels = []
    conv = torch.nn.functional.conv2d

    def watched(x: Tensor, filters: Tensor, *given: object) -> Tensor:
        channels.append((x.shape[1], filters.shape[0]))
        return conv(x, filters, *given)

    monkeypatch.setattr(torch.nn.functional, "conv2d", watched)
    found = Network(exported[name], cpu, torch.float16)(half)
    assert found.shape == expected.shape
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=exact)
    between = [into for into, _ in channels[1:]] + [out for _, out in channels[:-1]]
    assert len(channels) in (8, 30)
    assert not any(count % 8 for count in between)
