"""Fixtures of several test modules."""

import subprocess
from pathlib import Path

import pytest

from tests.runs import ROOT


@pytest.fixture(scope="session")
def sample_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled sample as a folder. Shared: do not change it."""
    folder = tmp_path_factory.mktemp("photos")
    subprocess.run(
        ["tar", "xzf", str(ROOT / "sample/sample.tar.gz"), "-C", str(folder)], check=True
    )
    return folder / "sample"
