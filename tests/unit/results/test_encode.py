"""The encode stage on real photos, against dlib's own landmarks, chips and network."""

import csv
import io
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dlib
import face_recognition_models
import numpy as np
import pytest
import skimage.data
import yaml
from numpy.typing import NDArray
from PIL import Image

import meanface.engine.engine
from meanface.engine.decode import decode
from meanface.engine.engine import Engine, bunches
from meanface.engine.export import export
from meanface.engine.outcome import EncodedFace, Failure
from meanface.engine.settings import EngineSettings
from meanface.results.encode import encode_shard
from meanface.shards.manifest import Photo, read_manifest
from meanface.shards.plan import contents_of, plan, write_contents
from meanface.shards.split import split
from tests.runs import ROOT

Pixels = NDArray[np.uint8]
Open = Callable[..., Engine]

TOLERANCE = 1e-6
DEFAULTS = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
SUFFIXES = frozenset(DEFAULTS["suffixes"])
# dlib's HOG detector finds the astronaut's face here, in her portrait of 512 x 512.
ASTRONAUT = (179, 83, 266, 170)


def settings(**overrides: object) -> EngineSettings:
    return EngineSettings.of(DEFAULTS | {"device": "cpu"} | overrides)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of the default settings, which need all of them."""
    folder = tmp_path_factory.mktemp("models")
    for name in settings().models:
        export(Path(name).stem, folder / name)
    return folder


@pytest.fixture(scope="module")
def engine(models: Path) -> Open:
    """Opens an engine with the default settings but for those given."""

    @cache
    def open_engine(**overrides: Any) -> Engine:  # noqa: ANN401
        chosen = settings(**overrides)
        return Engine(chosen, {Path(name).stem: models / name for name in chosen.models})

    return open_engine


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


BOTH = ("Both/Both_0001.jpg", "Both/Both_0002.jpg")


def pixels_of(name: str) -> Pixels:
    data = sample()[name].data
    assert data is not None
    return decode(data, "full", 10**9)


def faces_in(engine: Engine, one: Photo) -> list[EncodedFace]:
    (result,) = engine.encode([one])
    assert not isinstance(result, Failure), result
    return result


def failure_of(engine: Engine, one: Photo) -> Failure:
    (result,) = engine.encode([one])
    assert isinstance(result, Failure), result
    return result


def box_of(row: EncodedFace) -> tuple[int, int, int, int]:
    return row.face.left, row.face.top, row.face.right, row.face.bottom


@cache
def predictor(points: int) -> dlib.shape_predictor:
    return dlib.shape_predictor(
        face_recognition_models.pose_predictor_five_point_model_location()
        if points == 5
        else face_recognition_models.pose_predictor_model_location()
    )


@cache
def network() -> dlib.face_recognition_model_v1:
    return dlib.face_recognition_model_v1(face_recognition_models.face_recognition_model_location())


def dlib_embedding(
    pixels: Pixels, row: EncodedFace, points: int, *, mirrored: bool = False
) -> NDArray[np.float64]:
    """What dlib alone gives for the face in this box; `mirrored`: for its chip's mirror image."""
    landmarks = predictor(points)(pixels, dlib.rectangle(*box_of(row)))
    chip = dlib.get_face_chip(pixels, landmarks, size=150, padding=0.25)
    chip = np.ascontiguousarray(chip[:, ::-1]) if mirrored else chip
    return np.array(network().compute_face_descriptor(chip))


def overlap(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Intersection over union of two boxes."""
    a, b = np.array(one), np.array(other)
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = np.prod(np.maximum(high - low + 1, 0))
    return float(inner / (np.prod(a[2:] - a[:2] + 1) + np.prod(b[2:] - b[:2] + 1) - inner))


# --- faces and embeddings -------------------------------------------------------------------


@pytest.mark.parametrize("points", [5, 68])
def test_embeddings_are_those_of_dlib(engine: Open, points: int) -> None:
    with_onnx, with_dlib = engine(landmarks=points), engine(landmarks=points, encoder="dlib")
    for name in (BOTH[0], "Grace_Hopper/Grace_Hopper_0006.jpg"):
        (row,), (same,) = faces_in(with_onnx, sample()[name]), faces_in(with_dlib, sample()[name])
        assert (row.embedding.dtype, row.embedding.shape) == (np.float32, (128,))
        wanted = dlib_embedding(pixels_of(name), row, points)
        np.testing.assert_allclose(row.embedding, wanted, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(same.embedding, wanted, rtol=0, atol=1e-7)
        assert (same.face, same.faces, same.detector) == (row.face, row.faces, row.detector)


@pytest.mark.parametrize("points", [5, 68])
def test_flip_gives_the_mean_of_the_face_and_its_mirror_image(engine: Open, points: int) -> None:
    (row,) = faces_in(engine(landmarks=points, flip=True), sample()[BOTH[0]])
    pixels = pixels_of(BOTH[0])
    here, there = (dlib_embedding(pixels, row, points, mirrored=m) for m in (False, True))
    assert np.linalg.norm(here - there) > 0.05
    np.testing.assert_allclose(row.embedding, (here + there) / 2, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", BOTH)
def test_all_gives_every_face_that_dlib_finds_with_its_own_embedding(
    engine: Open, name: str
) -> None:
    rows = faces_in(engine(face="all", hog="full"), sample()[name])
    pixels = pixels_of(name)
    found = dlib.get_frontal_face_detector()(pixels, 0)
    assert len(found) == 2
    assert [box_of(row) for row in rows] == [
        (box.left(), box.top(), box.right(), box.bottom()) for box in found
    ]
    assert [row.faces for row in rows] == [2, 2]
    assert rows[0].face.score > rows[1].face.score
    for row in rows:
        wanted = dlib_embedding(pixels, row, DEFAULTS["landmarks"])
        np.testing.assert_allclose(row.embedding, wanted, rtol=0, atol=TOLERANCE)


def test_one_face_of_two_is_the_one_that_was_asked_for(engine: Open) -> None:
    for name in BOTH:
        rows = faces_in(engine(face="all"), sample()[name])
        height, width, _ = pixels_of(name).shape
        wanted = {
            "first": max(rows, key=lambda row: row.face.score),
            "largest": max(rows, key=lambda row: row.face.width * row.face.height),
            "central": min(
                rows,
                key=lambda row: np.hypot(
                    row.face.left + row.face.right + 1 - width,
                    row.face.top + row.face.bottom + 1 - height,
                ),
            ),
        }
        for which, row in wanted.items():
            (chosen,) = faces_in(engine(face=which), sample()[name])
            assert (chosen.face, chosen.faces) == (row.face, 2)
            assert np.array_equal(chosen.embedding, row.embedding)


def test_min_face_is_the_shorter_side_of_the_box(engine: Open) -> None:
    one = photo("astronaut.png", skimage.data.astronaut())
    (row,) = faces_in(engine(), one)
    side = min(row.face.width, row.face.height)
    assert faces_in(engine(min_face=side), one)[0].face == row.face
    failure = failure_of(engine(min_face=side + 1), one)
    assert failure.reason == "small_face"
    assert str(side + 1) in failure.detail


def test_min_score_is_a_bound_for_detections(engine: Open) -> None:
    one = photo("astronaut.png", skimage.data.astronaut())
    (row,) = faces_in(engine(), one)
    assert faces_in(engine(min_score=row.face.score), one)[0].face == row.face
    failure = failure_of(engine(min_score=row.face.score + 0.001), one)
    assert failure.reason == "weak_face"
    assert f"{row.face.score + 0.001}" in failure.detail


def test_a_face_that_does_not_count_leaves_the_others(engine: Open) -> None:
    for name in BOTH:
        rows = faces_in(engine(face="all"), sample()[name])
        small, large = sorted(rows, key=lambda row: row.face.width)
        weak, strong = sorted(rows, key=lambda row: row.face.score)
        for row, chosen in (
            (large, engine(face="all", min_face=small.face.width + 1)),
            (strong, engine(face="all", min_score=weak.face.score + 1e-6)),
        ):
            (left,) = faces_in(chosen, sample()[name])
            assert (left.face, left.faces) == (row.face, 2)


# --- photos of every size ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width"),
    [
        *((1, 1), (1, 300), (300, 1), (2, 2), (3, 7), (9, 9), (20, 20), (25, 60), (60, 25)),
        *((8, 2500), (2500, 8), (1, 150_000), (150_000, 1)),
    ],
)
def test_photos_of_odd_sizes_do_no_harm(engine: Open, height: int, width: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert failure_of(engine(), photo("odd.png", noise)).reason == "no_face"


@pytest.mark.parametrize("shape", [(512, 3000), (3000, 512)])
def test_a_face_in_a_very_wide_or_tall_photo_is_found(engine: Open, shape: tuple[int, int]) -> None:
    canvas = np.full((*shape, 3), 120, np.uint8)
    top, left = np.array(shape) - 512
    canvas[top:, left:] = skimage.data.astronaut()
    (row,) = faces_in(engine(detect_pixels=500_000), photo("long.png", canvas))
    expected = np.add(ASTRONAUT, [left, top, left, top])
    assert overlap(box_of(row), tuple(expected)) > 0.6


@cache
def large_photo(
    side: int, left: int, top: int, size: tuple[int, int] = (4000, 3000)
) -> tuple[Photo, tuple[int, ...]]:
    """A portrait of `side` pixels in an empty photo of `size`, and where its face is."""
    canvas = Image.new("RGB", size, (90, 120, 150))
    portrait = Image.fromarray(skimage.data.astronaut())
    canvas.paste(portrait.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    edges = np.add(ASTRONAUT, [0, 0, 1, 1]) * side / 512
    box = np.add(edges.round().astype(int), [left, top, left - 1, top - 1])
    return photo("large.png", np.asarray(canvas)), tuple(box.tolist())


@pytest.mark.parametrize(
    ("side", "left", "top"), [(2560, 700, 200), (1280, 2700, 1500), (1100, 40, 1850)]
)
def test_a_face_in_a_large_photo_is_found_where_it_is(
    engine: Open, side: int, left: int, top: int
) -> None:
    one, box = large_photo(side, left, top)
    (row,) = faces_in(engine(detect_pixels=500_000), one)
    assert overlap(box_of(row), box) > 0.6
    # The photo is scaled down to find the face, not to encode it.
    assert one.data
    pixels = decode(one.data, "full", 10**9)
    wanted = dlib_embedding(pixels, row, DEFAULTS["landmarks"])
    np.testing.assert_allclose(row.embedding, wanted, rtol=0, atol=TOLERANCE)


def test_the_bound_on_detection_is_what_hides_small_faces(engine: Open) -> None:
    one, box = large_photo(320, 900, 800, (2000, 1500))
    bounded = engine(detectors=("hog@1",), detect_pixels=500_000)
    assert failure_of(bounded, one).reason == "no_face"
    (row,) = faces_in(engine(detectors=("hog@1",), detect_pixels=0), one)
    assert overlap(box_of(row), box) > 0.6


MEMORY = """
import io, sys
from pathlib import Path
from PIL import Image
from tests.unit.results import test_encode
from meanface.engine.engine import Engine
from meanface.shards.manifest import Photo
settings = test_encode.settings()
engine = Engine(settings, {Path(name).stem: Path(sys.argv[1], name) for name in settings.models})
stream = io.BytesIO()
Image.new("RGB", (4000, 3000), (90, 120, 150)).save(stream, "JPEG")
(failure,) = engine.encode([Photo("empty.jpg", 0, "", stream.getvalue())])
assert failure.reason == "no_face", failure
print(next(line for line in Path("/proc/self/status").open() if line.startswith("VmHWM")))
"""


def test_no_more_photos_are_held_than_are_worked_on_together() -> None:
    drawn = []

    def sizes() -> Iterator[int]:
        for size in (4, 4, 4, 4, 20, 0, 1):
            drawn.append(size)
            yield size

    together = bunches(sizes(), lambda size: size, 10)
    assert next(together) == [4, 4, 4]
    assert len(drawn) == 3
    assert list(together) == [[4, 20], [0, 1]]
    assert list(bunches([4, 0, 5], lambda size: size, 0)) == [[4], [0, 5], []]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_large_photo_stays_within_the_memory_that_a_job_asks_for(models: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(models)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    kibibytes = int(done.stdout.split()[1])
    assert kibibytes < 1_000_000  # mem_mb in rules/encode.smk; measured: 450,000


# --- a shard -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("most", [1 << 19, 1 << 28])
def test_photos_searched_together_change_no_bit(
    engine: Open,
    sample_shard: Shard,
    sample_encoded: Encoded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    """As on a GPU, but on the CPU."""
    monkeypatch.setitem(meanface.engine.engine._DETECTED, "cpu", most)
    again = encode(engine(), sample_shard, tmp_path / "out", 64)
    assert again.files == sample_encoded.files


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

    def fragile(data: bytes, how: str, max_pixels: int) -> Pixels:
        if data == sample()[broken].data:
            raise RuntimeError("a library's own complaint")
        return decode(data, how, max_pixels)

    monkeypatch.setattr(meanface.engine.engine, "decode", fragile)
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


def test_quick_hog_takes_the_central_face_that_full_hog_takes(engine: Open) -> None:
    for name in ("Both/Both_0001.jpg", "Grace_Hopper/Grace_Hopper_0001.jpg"):
        (quick,) = faces_in(engine(hog="quick"), sample()[name])
        (full,) = faces_in(engine(hog="full"), sample()[name])
        assert overlap(box_of(quick), box_of(full)) > 0.6


def test_quick_hog_counts_all_faces_where_no_central_one_settles_it(engine: Open) -> None:
    (row,) = faces_in(engine(hog="quick", face="first"), sample()["Both/Both_0001.jpg"])
    assert row.faces == 2
