"""The encode stage on the sample: every photo is encoded or failed, whatever the batch."""

import csv
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import meanface.engine.engine
from meanface.engine.decode import decode_reduced
from meanface.engine.engine import Engine
from meanface.results.encode import encode_shard
from meanface.shards.manifest import read_manifest
from meanface.shards.plan import contents_of, plan, write_contents
from meanface.shards.split import split
from tests.runs import ROOT
from tests.unit.engines import DEFAULTS, Open, Pixels, box_of, faces_in, sample

SUFFIXES = frozenset(DEFAULTS["suffixes"])


@dataclass(frozen=True)
class Encoded:
    """What encode_shard gave and wrote, tables read with csv alone."""

    counts: dict[str, int]
    files: tuple[bytes, ...]
    embeddings: NDArray[np.float32]
    faces: list[dict[str, str]]
    failures: list[dict[str, str]]


@dataclass(frozen=True)
class Shard:
    """A tar of photos, its manifest, and the table of what other shards encode: nothing."""

    tar: Path
    manifest: Path
    duplicates: Path


def plan_alone(shard: Shard) -> None:
    """Plan as if there were no other shard."""
    contents = shard.tar.with_name("contents.csv")
    write_contents([shard.manifest], contents)
    plan([contents], shard.tar.with_name("plan.csv"), shard.duplicates)


def make_shard(folder: Path, source: Path, max_bytes: int = 10**8) -> Shard:
    shard = Shard(*(folder / name for name in ("0000.tar", "0000.csv", "duplicates.csv")))
    split(source, [shard.tar], [shard.manifest], suffixes=SUFFIXES, max_bytes=max_bytes)
    plan_alone(shard)
    return shard


def encode(engine: Engine, shard: Shard, folder: Path, batch: int = 16) -> Encoded:
    """Encode a shard; the rows of the tables get the paths of their photos, and their order."""
    folder.mkdir(exist_ok=True)
    npy, table = folder / "e.npy", folder / "outcomes.csv"
    counts = encode_shard(
        lambda batches: map(engine.encode, batches),
        shard.tar,
        shard.manifest,
        contents_of(shard.manifest, shard.duplicates),
        cache=None,
        batch=batch,
        embeddings=npy,
        table=table,
    )
    assert {path.name for path in folder.iterdir()} == {"e.npy", "outcomes.csv"}
    embeddings = np.load(npy, allow_pickle=False)
    paths = {row.sha256: row.path for row in read_manifest(shard.manifest)}
    with table.open(encoding="utf-8", newline="") as stream:
        rows = [row | {"path": paths[row["sha256"]]} for row in csv.DictReader(stream)]
    faces = [row for row in rows if not row["reason"]]
    order = sorted(range(len(faces)), key=lambda i: faces[i]["path"])
    return Encoded(
        {name: getattr(counts, name) for name in ("contents", "encoded", "failed", "faces")},
        tuple(path.read_bytes() for path in (npy, table)),
        embeddings[order],
        [faces[i] for i in order],
        sorted((row for row in rows if row["reason"]), key=lambda row: row["path"]),
    )


@pytest.fixture(scope="module")
def sample_shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    return make_shard(tmp_path_factory.mktemp("shard"), ROOT / "sample/sample.tar.gz")


@pytest.fixture(scope="module")
def sample_encoded(
    engine: Open, sample_shard: Shard, tmp_path_factory: pytest.TempPathFactory
) -> Encoded:
    return encode(engine(), sample_shard, tmp_path_factory.mktemp("encoded"))


def test_every_photo_of_the_shard_is_encoded_or_failed(sample_encoded: Encoded) -> None:
    with (ROOT / "sample/expected.csv").open(encoding="utf-8", newline="") as stream:
        expected = {row["path"]: row["outcome"] for row in csv.DictReader(stream)}
    outcome = {row["path"]: "encoded" for row in sample_encoded.faces}
    outcome |= {row["path"]: row["reason"] for row in sample_encoded.failures}
    assert outcome == expected
    assert sample_encoded.counts == {"contents": 30, "encoded": 23, "failed": 7, "faces": 23}


def test_each_detector_sees_only_what_those_before_it_did_not_find(
    sample_encoded: Encoded,
) -> None:
    detectors = Counter(row["detector"] for row in sample_encoded.faces)
    assert detectors == {"hog@0": 18, "hog@1": 2, "cnn@0": 3}  # as sample/README.md has it


def test_row_i_of_the_embeddings_belongs_to_row_i_of_the_faces(
    engine: Open, sample_encoded: Encoded
) -> None:
    embeddings = sample_encoded.embeddings
    assert (embeddings.dtype, embeddings.shape) == (np.float32, (23, 128))
    for row, embedding in zip(sample_encoded.faces, embeddings, strict=True):
        (alone,) = faces_in(engine(), sample()[row["path"].partition("/")[2]])
        assert np.array_equal(alone.embedding, embedding)
        box = tuple(int(row[edge]) for edge in ("left", "top", "right", "bottom"))
        assert box == box_of(alone)
        assert float(row["score"]) == pytest.approx(alone.face.score, abs=1e-6)
        assert (int(row["faces"]), row["detector"]) == (alone.faces, alone.detector)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_batch_changes_no_bit(
    engine: Open, sample_shard: Shard, sample_encoded: Encoded, tmp_path: Path, batch: int
) -> None:
    again = encode(engine(), sample_shard, tmp_path / "out", batch)
    assert again.files == sample_encoded.files
    assert again.counts == sample_encoded.counts


def test_all_faces_of_a_photo_are_rows_and_the_photo_counts_once(
    engine: Open, tmp_path: Path, sample_photos: Path
) -> None:
    shard = make_shard(tmp_path, sample_photos / "Both")
    done = encode(engine(face="all"), shard, tmp_path / "out")
    assert [row["path"] for row in done.faces] == ["Both_0001.jpg"] * 2 + ["Both_0002.jpg"] * 2
    assert [row["faces"] for row in done.faces] == ["2"] * 4
    assert done.counts == {"contents": 2, "encoded": 2, "failed": 0, "faces": 4}
    assert len(np.unique(done.embeddings, axis=0)) == 4


def test_a_photo_too_large_to_be_read_is_not_planned(
    engine: Open, tmp_path: Path, sample_photos: Path
) -> None:
    folder = sample_photos / "Eileen_Collins"
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    most = sorted(sizes.values())[4]
    done = encode(engine(), make_shard(tmp_path, folder, max_bytes=most), tmp_path / "out")
    assert {row["path"] for row in done.faces} == {n for n, size in sizes.items() if size <= most}
    assert done.counts == {"contents": 5, "encoded": 5, "failed": 0, "faces": 5}


def test_a_photo_that_breaks_a_library_fails_alone_and_leaves_its_trace_in_the_log(
    engine: Open,
    sample_shard: Shard,
    sample_encoded: Encoded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = "Grace_Hopper/Grace_Hopper_0002.jpg"

    def fragile(data: bytes, how: str, max_pixels: int, enough: float) -> tuple[Pixels, int]:
        if data == sample()[broken].data:
            raise RuntimeError("a library's own complaint")
        return decode_reduced(data, how, max_pixels, enough)

    monkeypatch.setattr(meanface.engine.engine, "decode_reduced", fragile)
    done = encode(engine(), sample_shard, tmp_path / "out", batch=7)
    path = f"sample/{broken}"
    (row,) = [row for row in done.failures if row["path"] == path]
    assert row["reason"] == "error"
    assert row["detail"] == "RuntimeError: a library's own complaint"
    assert [row for row in sample_encoded.faces if row["path"] != path] == done.faces
    assert done.counts == {"contents": 30, "encoded": 22, "failed": 8, "faces": 22}
    assert repr(path) in caplog.text
    assert "Traceback" in caplog.text
    assert "in fragile" in caplog.text


def test_a_shard_without_photos_gives_empty_results(engine: Open, tmp_path: Path) -> None:
    shard = Shard(*(tmp_path / name for name in ("0000.tar", "0000.csv", "duplicates.csv")))
    shard.manifest.write_text("path,size,sha256\n")
    plan_alone(shard)
    done = encode(engine(), shard, tmp_path / "out")
    assert (done.embeddings.dtype, done.embeddings.shape) == (np.float32, (0, 128))
    assert done.faces == done.failures == []
    assert done.counts == {"contents": 0, "encoded": 0, "failed": 0, "faces": 0}


def test_an_encode_job_imports_nothing_that_takes_long_and_is_not_needed() -> None:
    modules = "meanface.results.encode, meanface.results.cache, meanface.engine.isolate"
    listed = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True
    )
    slow = {"dlib", "duckdb", "onnx", "onnxruntime", "pandas", "pyarrow", "snakemake"}
    assert slow & set(done.stdout.split()) == set()
