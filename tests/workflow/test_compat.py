"""config/compat.yaml gives what face_recognition gives: same failures, same embeddings."""

import hashlib
import tarfile
from pathlib import Path

import dlib
import face_recognition
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from meanface.engine.jitter import jittered
from tests.lfw import lfw_archive, needs_lfw
from tests.runs import ROOT, snakemake

COMPAT = ("--configfile", str(ROOT / "config/compat.yaml"))
TOLERANCE = 1e-6


def reference(photos: Path) -> dict[str, NDArray[np.float64] | None]:
    """What face_recognition gives for every photo below a folder; None where it finds no face."""
    results: dict[str, NDArray[np.float64] | None] = {}
    for photo in sorted(path for path in photos.rglob("*.*") if path.is_file()):
        if photo.name.startswith(".") or photo.name == "README.txt":
            continue
        try:
            image = face_recognition.load_image_file(photo)
        except OSError:
            faces = []
        else:
            faces = face_recognition.face_encodings(image)
        results[photo.relative_to(photos).as_posix()] = faces[0] if faces else None
    return results


def assert_compatible(photos: Path, directory: Path) -> None:
    run = snakemake(directory, *COMPAT, photos=photos, shards=4)
    assert run.code == 0, run.output
    faces = pd.read_csv(run.results / "faces.csv", keep_default_na=False)
    failures = pd.read_csv(run.results / "failures.csv", keep_default_na=False)
    embeddings = np.load(run.results / "embeddings.npy", allow_pickle=False)
    expected = reference(photos)
    assert set(failures["path"]) == {path for path, one in expected.items() if one is None}
    assert set(faces["path"]) == {path for path, one in expected.items() if one is not None}
    wanted = np.array([expected[path] for path in faces["path"]])
    assert np.abs(embeddings - wanted).max() < TOLERANCE


def test_the_sample_with_truncated_turned_and_deep_photos(
    sample_photos: Path, tmp_path: Path
) -> None:
    assert_compatible(sample_photos, tmp_path / "run")


def test_jitters_and_68_landmarks_on_the_same_crops(sample_photos: Path, tmp_path: Path) -> None:
    photos = sample_photos / "Grace_Hopper"
    run = snakemake(tmp_path / "run", *COMPAT, photos=photos, shards=2, jitters=3, landmarks=68)
    assert run.code == 0, run.output
    faces = pd.read_csv(run.results / "faces.csv", keep_default_na=False)
    embeddings = np.load(run.results / "embeddings.npy", allow_pickle=False)
    assert len(faces) > 5
    for path, embedding in zip(faces["path"], embeddings, strict=True):
        image = face_recognition.load_image_file(photos / path)
        (shape, *_) = face_recognition.api._raw_face_landmarks(image, model="large")
        chip = dlib.get_face_chip(image, shape, size=150, padding=0.25)
        content = hashlib.sha256((photos / path).read_bytes()).hexdigest()
        crops = [np.ascontiguousarray(one) for one in jittered(chip, f"{content} 0", 3)]
        encode = face_recognition.api.face_encoder.compute_face_descriptor
        wanted = np.mean([encode(one) for one in crops], axis=0)
        assert np.abs(embedding - wanted).max() < TOLERANCE


@needs_lfw
def test_150_photos(tmp_path: Path) -> None:
    """Every tenth photo or so, and all those in which face_recognition finds no face."""
    _extract(tmp_path / "photos", every=11)
    assert_compatible(tmp_path / "photos", tmp_path / "run")


@needs_lfw
@pytest.mark.slow
def test_all_1601_photos(tmp_path: Path) -> None:
    _extract(tmp_path / "photos", every=1)
    assert_compatible(tmp_path / "photos", tmp_path / "run")


def _extract(folder: Path, every: int) -> None:
    archive = lfw_archive()
    assert archive
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.isfile()]
        tar.extractall(folder, files[::every], filter="data")
