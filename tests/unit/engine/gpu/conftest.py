"""Fixtures of the tests of the GPU's parts, which compute on the CPU here."""

from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """PyTorch's threads wait for each other where tests run in parallel."""
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The models of a GPU, by name."""
    from meanface.engine.export import export
    from tests.unit.engines import settings

    folder = tmp_path_factory.mktemp("models")
    names = settings(device="cuda", detectors=["cnn@0", "cnn@1"]).models
    for name in names:
        export(Path(name).stem, folder / name)
    return {Path(name).stem: folder / name for name in names}


@pytest.fixture(scope="session")
def cpu() -> object:
    """Computes as a GPU does, but for rounding."""
    import torch  # only tests that have it ask for this

    return torch.device("cpu")
