"""Engines with the default settings, and the photos of the sample, for the tests."""

import io
import tarfile
from collections.abc import Callable
from functools import cache

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.engine import Engine
from meanface.engine.outcome import EncodedFace, Failure
from meanface.engine.settings import EngineSettings
from meanface.shards.manifest import Photo
from tests.runs import ROOT

Pixels = NDArray[np.uint8]
Open = Callable[..., Engine]
DEFAULTS = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))


def settings(**overrides: object) -> EngineSettings:
    return EngineSettings.of(DEFAULTS | {"device": "cpu"} | overrides)


def photo(path: str, pixels: Pixels) -> Photo:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return Photo(path, len(stream.getvalue()), "", stream.getvalue())


@cache
def sample() -> dict[str, Photo]:
    """The photos of the bundled sample by their path below sample/."""
    photos = {}
    with tarfile.open(ROOT / "sample/sample.tar.gz") as tar:
        for info in tar:
            data = tar.extractfile(info).read()  # type: ignore[union-attr]
            photos[info.name.partition("/")[2]] = Photo(info.name, info.size, "", data)
    return photos


def faces_in(engine: Engine, one: Photo) -> list[EncodedFace]:
    (result,) = engine.encode([one])
    assert not isinstance(result, Failure), result
    return result


def box_of(row: EncodedFace) -> tuple[int, int, int, int]:
    return row.face.left, row.face.top, row.face.right, row.face.bottom
