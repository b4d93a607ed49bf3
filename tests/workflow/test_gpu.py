"""With a GPU: what `device: cuda` gives is what the CPU gives. Skipped where there is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meanface.engine.export import export
from meanface.engine.gpu.isolate import encode_on_gpu
from meanface.engine.outcome import EncodedFace
from meanface.shards.manifest import Photo
from tests.runs import snakemake
from tests.unit.engines import settings

pytestmark = pytest.mark.needs("gpu")

CNN = {"detectors": "[cnn@0,cnn@1]"}


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_the_workflow_finds_the_same_faces(tmp_path: Path, device: str) -> None:
    expected = snakemake(tmp_path / "cpu", device="cpu", **CNN)
    run = snakemake(tmp_path / "cuda", device=device, **CNN)
    assert (run.code, expected.code) == (0, 0), run.output
    assert (run.results / "models/landmarks5.npy").exists()
    ours, theirs = (pd.read_csv(one.results / "faces.csv") for one in (run, expected))
    close = ["score", "distance", "angle"]
    exact = [name for name in ours if name not in close]
    pd.testing.assert_frame_equal(ours[exact], theirs[exact])
    np.testing.assert_allclose(ours["score"], theirs["score"], atol=1e-2)
    np.testing.assert_allclose(ours["angle"], theirs["angle"], atol=1)
    of_each = [np.load(one.results / "embeddings.npy") for one in (run, expected)]
    assert np.linalg.norm(of_each[0] - of_each[1], axis=1).max() < 0.05
    failures = [(one.results / "failures.csv").read_text() for one in (run, expected)]
    assert failures[0] == failures[1]


def test_an_embedding_does_not_depend_on_the_batch(tmp_path: Path, sample_photos: Path) -> None:
    on_gpu = settings(device="cuda", detectors=["cnn@0", "cnn@1"])
    models = {Path(name).stem: tmp_path / name for name in on_gpu.models}
    for name, path in models.items():
        export(name, path)
    files = sorted(sample_photos.glob("*/*.jpg"))
    photos = [Photo(file.name, 0, "", file.read_bytes()) for file in files]
    orders = [photos, photos[::-1], photos[:3]]
    found = []
    for order in orders:
        [outcomes] = encode_on_gpu(on_gpu, models, [order], seconds=600, gpu_mb=20_000)
        found.append(dict(zip([photo.path for photo in order], outcomes, strict=True)))
    faces = [one for one in found[0].values() if isinstance(one, list)]
    assert len(faces) > 5
    for photo, outcome in found[0].items():
        for other in (one[photo] for one in found[1:] if photo in one):
            if isinstance(outcome, list) and isinstance(other, list):
                assert bits(outcome) == bits(other)
            else:
                assert outcome == other


def bits(faces: list[EncodedFace]) -> list[bytes]:
    return [face.embedding.tobytes() for face in faces]
