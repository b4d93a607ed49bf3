"""The stub engine, by which the workflow itself is measured."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from meanface.engine.isolate import encode_isolated
from meanface.engine.outcome import Failure
from meanface.engine.settings import EngineSettings
from meanface.shards.manifest import Photo
from tests.runs import ROOT, snakemake


def expected(data: bytes) -> list[np.float32]:
    """The embedding of a photo with this content, by SHAKE256 and struct alone."""
    stream = hashlib.shake_256(hashlib.sha256(data).digest()).digest(512)
    return [np.float32(number / 2**33) for number in struct.unpack("<128i", stream)]


def settings() -> EngineSettings:
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    return EngineSettings.of(config | {"encoder": "stub"})


def test_every_photo_has_one_face_and_an_embedding_of_its_content() -> None:
    contents = [b"no photo", b"", b"no photo"]
    photos = [
        Photo(f"{number}.jpg", len(data), hashlib.sha256(data).hexdigest(), data)
        for number, data in enumerate(contents)
    ]
    results = encode_isolated(settings(), {}, [photos[:2], photos[2:]], seconds=60)
    outcomes = [outcome for batch in results for outcome in batch]
    for outcome, data in zip(outcomes, contents, strict=True):
        assert not isinstance(outcome, Failure)
        (face,) = outcome
        assert (face.faces, face.detector, face.face.score) == (1, "stub", 1.0)
        assert (face.embedding.dtype, face.embedding.tolist()) == (np.float32, expected(data))


def test_it_needs_no_model_and_is_an_engine_of_its_own() -> None:
    assert settings().models == []
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert settings().fingerprint() != EngineSettings.of(config).fingerprint()


def test_a_run_with_it(tmp_path: Path) -> None:
    photos = {f"photos/{name}.jpg": name.encode() for name in ("ann", "bea", "cleo")}
    for name, data in photos.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    run = snakemake(tmp_path, photos="photos", shards=1, encoder="stub")
    assert run.code == 0, run.output
    assert run.jobs["encode"] == 1 and run.jobs["export_model"] == 0
    faces = pd.read_csv(run.results / "faces.csv")
    assert faces["path"].tolist() == ["ann.jpg", "bea.jpg", "cleo.jpg"]
    assert set(faces["detector"]) == {"stub"}
    embeddings = np.load(run.results / "embeddings.npy", allow_pickle=False)
    assert embeddings.tolist() == [expected(data) for data in photos.values()]


def test_its_report_and_pictures_show_no_photo(tmp_path: Path, sample_photos: Path) -> None:
    query = sample_photos / "Grace_Hopper/Grace_Hopper_0001.jpg"
    targets = ("report", "audit", "pictures", "find")
    run = snakemake(tmp_path, *targets, query=query, shards=1, encoder="stub")
    assert run.code == 0, run.output
    assert "the report and the pictures show no photo" in run.output
    assert "data:image" not in (run.results / "report.html").read_text(encoding="utf-8")
    pictures = {path.stem for path in (run.results / "pictures").iterdir()}
    assert "map" in pictures and not pictures & {"mean_face", "extremes", "failures", "find"}
