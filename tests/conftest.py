"""Fixtures of several test modules."""

import subprocess
from pathlib import Path

import pytest

from tests.runs import ROOT
from tests.tools import how_to_get


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what `@pytest.mark.needs(tool)` marks where the tool is missing, before any fixture."""
    for item in items:
        for mark in item.iter_markers("needs"):
            (tool,) = mark.args
            if remedy := how_to_get(tool):
                item.add_marker(pytest.mark.skip(reason=f"needs {tool}: {remedy}"))


@pytest.fixture(scope="session")
def sample_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled sample as a folder. Shared: do not change it."""
    folder = tmp_path_factory.mktemp("photos")
    subprocess.run(
        ["tar", "xzf", str(ROOT / "sample/sample.tar.gz"), "-C", str(folder)], check=True
    )
    return folder / "sample"
