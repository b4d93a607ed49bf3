"""Fixtures of several unit tests. What they need is imported when they are used."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from meanface.engine.engine import Engine
    from tests.unit.engines import Open


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of the default settings and the 68 landmarks."""
    from meanface.engine.export import export
    from tests.unit.engines import settings

    folder = tmp_path_factory.mktemp("models")
    for name in {*settings().models, *settings(landmarks=68).models}:
        export(Path(name).stem, folder / name)
    return folder


@pytest.fixture(scope="module")
def engine(models: Path) -> "Open":
    """Opens an engine with the default settings but for those given."""
    from meanface.engine.engine import Engine
    from tests.unit.engines import settings

    @cache
    def open_engine(**overrides: Any) -> "Engine":  # noqa: ANN401
        chosen = settings(**overrides)
        return Engine(chosen, {Path(name).stem: models / name for name in chosen.models})

    return open_engine
