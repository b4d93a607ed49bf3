"""With a GPU: what `device: cuda` gives is what the CPU gives. Skipped where there is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from meanface.engine.engine import Engine
from meanface.engine.export import export
from meanface.engine.outcome import Failure
from meanface.engine.settings import EngineSettings
from meanface.shards.manifest import Photo
from tests.runs import ROOT, snakemake

pytestmark = pytest.mark.needs("gpu")


@pytest.mark.parametrize("keys", [{"threads": 2}, {"detectors": "[cnn@0,cnn@1]"}], ids=str)
def test_the_workflow_finds_the_same_faces(tmp_path: Path, keys: dict[str, object]) -> None:
    expected = snakemake(tmp_path / "cpu", device="cpu", **keys)
    run = snakemake(tmp_path / "cuda", **keys)  # device: auto
    assert (run.code, expected.code) == (0, 0), run.output
    assert (run.results / "models/cnn_cuda.onnx").exists()
    ours, theirs = (pd.read_csv(one.results / "faces.csv") for one in (run, expected))
    exact = [name for name in ours if name not in ("score", "distance")]
    pd.testing.assert_frame_equal(ours[exact], theirs[exact])
    np.testing.assert_allclose(ours["score"], theirs["score"], atol=1e-4)
    np.testing.assert_allclose(
        np.load(run.results / "embeddings.npy"),
        np.load(expected.results / "embeddings.npy"),
        atol=1e-5,
    )
    failures = [(one.results / "failures.csv").read_text() for one in (run, expected)]
    assert failures[0] == failures[1]


def test_an_embedding_does_not_depend_on_the_batch(tmp_path: Path, sample_photos: Path) -> None:
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    settings = EngineSettings.of(config | {"device": "cuda"})
    models = {Path(name).stem: tmp_path / name for name in settings.models}
    for name, path in models.items():
        export(name, path)
    engine = Engine(settings, models)
    files = sorted(sample_photos.glob("*/*.jpg"))
    photos = [Photo(file.name, 0, "", file.read_bytes()) for file in files]
    alone = [engine.encode([photo])[0] for photo in photos]
    together = engine.encode(photos)
    assert sum(not isinstance(outcome, Failure) for outcome in together) > 5
    for one, other in zip(alone, together, strict=True):
        if isinstance(one, Failure):
            assert one == other
        else:
            bits = [
                [face.embedding.tobytes() for face in outcome]
                for outcome in (one, other)
                if not isinstance(outcome, Failure)
            ]
            assert bits[0] == bits[1]
