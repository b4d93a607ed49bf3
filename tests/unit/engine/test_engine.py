"""The engine on real photos, against dlib's own landmarks, chips and network."""

import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import dlib
import face_recognition
import face_recognition_models
import numpy as np
import pytest
import skimage.data
import yaml
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.decode import decode, decode_reduced
from meanface.engine.engine import Engine, bunches
from meanface.engine.jitter import jittered
from meanface.engine.outcome import EncodedFace, Failure
from meanface.engine.search import scaled
from meanface.engine.settings import EngineSettings
from meanface.shards.manifest import Photo
from tests.runs import ROOT
from tests.unit.engines import DEFAULTS, Open, Pixels, box_of, faces_in, photo, sample

TOLERANCE = 1e-6
# dlib's HOG detector finds the astronaut's face here, in her portrait of 512 x 512.
ASTRONAUT = (179, 83, 266, 170)
HOGS = ("hog@0", "hog@1")
BOTH = ("Both/Both_0001.jpg", "Both/Both_0002.jpg")


def pixels_of(name: str) -> Pixels:
    data = sample()[name].data
    assert data is not None
    return decode(data, "full", 10**9)


def failure_of(engine: Engine, one: Photo) -> Failure:
    (result,) = engine.encode([one])
    assert isinstance(result, Failure), result
    return result


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


COMPAT = yaml.safe_load((ROOT / "config/compat.yaml").read_text(encoding="utf-8"))
ENGINE_KEYS = {field.name for field in fields(EngineSettings)}
COMPAT_ENGINE = {key: value for key, value in COMPAT.items() if key in ENGINE_KEYS}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("points", [5, 68])
def test_jitters_give_the_mean_that_face_recognition_gives_of_the_same_crops(
    engine: Open, points: int, flip: bool
) -> None:
    chosen = COMPAT_ENGINE | {"detectors": ("hog@1",), "landmarks": points, "flip": flip}
    one = sample()[BOTH[0]]
    one = replace(one, sha256=hashlib.sha256(one.data or b"").hexdigest())
    rows = faces_in(engine(**chosen | {"face": "all", "jitters": 4}), one)
    pixels = decode(one.data or b"", "plain", 10**9)
    model = {5: "small", 68: "large"}[points]
    found = face_recognition.face_locations(pixels)
    shapes = face_recognition.api._raw_face_landmarks(pixels, found, model)
    assert len(rows) == len(shapes) == 2
    for number, (row, shape) in enumerate(zip(rows, shapes, strict=True)):
        chip = dlib.get_face_chip(pixels, shape, size=150, padding=0.25)
        crops = list(jittered(chip, f"{one.sha256} {number}", 4))
        crops += [crop[:, ::-1] for crop in crops] if flip else []
        descriptors = [network().compute_face_descriptor(np.ascontiguousarray(c)) for c in crops]
        wanted = np.mean(descriptors, axis=0)
        np.testing.assert_allclose(row.embedding, wanted, rtol=0, atol=TOLERANCE)
        assert np.linalg.norm(wanted - descriptors[0]) > 0.02
    (as_it_is, _) = faces_in(engine(**chosen | {"face": "all", "jitters": 1, "flip": False}), one)
    theirs = face_recognition.face_encodings(pixels, found, model=model)[0]
    np.testing.assert_allclose(as_it_is.embedding, theirs, rtol=0, atol=TOLERANCE)


def test_jitters_depend_on_the_content_and_not_on_what_is_encoded_beside(engine: Open) -> None:
    several = engine(jitters=40, face="all")  # more crops than are encoded together
    names = [BOTH[0], "Grace_Hopper/Grace_Hopper_0002.jpg", BOTH[1]]
    photos = [replace(sample()[name], sha256=f"{number:064}") for number, name in enumerate(names)]

    def embeddings(photos: list[Photo]) -> list[bytes]:
        return [
            row.embedding.tobytes()
            for outcome in several.encode(photos)
            if not isinstance(outcome, Failure)
            for row in outcome
        ]

    alone = [embeddings([one]) for one in photos]
    assert [len(rows) for rows in alone] == [2, 1, 2]
    assert embeddings(photos) == [row for rows in alone for row in rows]
    assert embeddings(photos[::-1]) == [row for rows in alone[::-1] for row in rows]
    renamed = replace(photos[1], path="another.jpg")
    changed = replace(photos[1], sha256="f" * 64)
    assert embeddings([renamed]) == alone[1] != embeddings([changed])


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
            assert chosen.face == row.face
            # A face over the middle ends the search, before it has seen all bystanders.
            assert chosen.faces in ((1, 2) if which == "central" else (2,))
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
        large = max(rows, key=lambda row: row.face.width)
        weak, strong = sorted(rows, key=lambda row: row.face.score)
        (left,) = faces_in(engine(face="all", min_score=weak.face.score + 1e-6), sample()[name])
        assert (left.face, left.faces) == (strong.face, 2)
        # The photo is scaled down, so that smaller faces cost nothing: boxes move a little.
        least = large.face.width * 9 // 10
        rows = faces_in(engine(face="all", min_face=least), sample()[name])
        assert all(min(row.face.width, row.face.height) >= least for row in rows)
        assert any(overlap(box_of(row), box_of(large)) > 0.5 for row in rows)


def two_portraits() -> tuple[Photo, list[tuple[int, ...]]]:
    """A portrait, and beside it the portrait turned by a quarter; and where the faces are."""
    portrait = skimage.data.astronaut()
    one = photo("two.png", np.hstack([portrait, np.rot90(portrait)]))
    left, top, right, bottom = ASTRONAUT
    return one, [ASTRONAUT, (512 + top, 511 - right, 512 + bottom, 511 - left)]


def test_all_faces_are_those_of_all_detectors_each_once(engine: Open) -> None:
    one, boxes = two_portraits()
    upright, turned = faces_in(engine(face="all"), one)
    for row, box in zip((upright, turned), boxes, strict=True):
        assert overlap(box_of(row), box) > 0.4
    assert (upright.detector, turned.detector) == ("hog@0", "cnn@0")
    assert abs(turned.angle) == pytest.approx(90, abs=25)
    (central,) = faces_in(engine(), one)
    assert central.detector == "hog@0"


def test_all_faces_are_searched_in_the_full_photo(engine: Open) -> None:
    one, box = large_photo(512, 900, 800, (3000, 2000))
    assert failure_of(engine(detectors=("hog@0",)), one).reason == "no_face"
    hog = {"detectors": ("hog@0",), "face": "all"}
    (row,) = faces_in(engine(**hog), one)
    assert overlap(box_of(row), box) > 0.6
    # A smaller face costs nothing: the detector does not get its pixels.
    assert failure_of(engine(**hog, min_face=2 * row.face.width), one).reason == "no_face"


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


def as_jpeg(one: Photo, orientation: int = 1) -> Photo:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(decode(one.data, "full", 10**9)).save(stream, "JPEG", quality=90, exif=exif)
    return Photo("large.jpg", len(stream.getvalue()), "", stream.getvalue())


@pytest.mark.parametrize(
    ("side", "left", "top", "settings", "scale"),
    [
        (5120, -1400, -300, {}, 4),  # a face of 880 pixels
        (5120, -1400, -300, {"detect_pixels": 250_000, "face": "largest"}, 4),
        (5120, -1400, -300, {"decode": "full"}, 1),
        (5120, -1400, -300, {"face": "all"}, 1),
        (2900, 700, 50, {}, 2),  # of 500
        (1100, 700, 200, {}, 1),  # of 190
    ],
)
def test_a_large_jpeg_is_decoded_at_the_part_that_its_face_needs(
    engine: Open, side: int, left: int, top: int, settings: dict[str, Any], scale: int
) -> None:
    one, box = large_photo(side, left, top)
    one = as_jpeg(one)
    (row,) = faces_in(engine(**settings), one)
    assert overlap(box_of(row), box) > 0.6, "in pixels of the whole photo"
    pixels, factor = decode_reduced(one.data, "quick", 10**9, 4000 * 3000 / scale**2)
    assert factor == scale
    there = replace(row, face=scaled(row.face, 1 / scale))
    wanted = dlib_embedding(pixels, there, DEFAULTS["landmarks"])
    np.testing.assert_allclose(row.embedding, wanted, rtol=0, atol=TOLERANCE)


def test_all_searches_no_coarser_hog_where_the_finer_one_sees_a_large_photo(engine: Open) -> None:
    one, box = large_photo(2560, 700, 200)
    for least, detector in ((0, "hog@1"), (200, "hog@0")):  # both search as many pixels for 200
        rows = faces_in(engine(face="all", min_face=least), one)
        assert any(overlap(box_of(row), box) > 0.6 for row in rows)
        assert {row.detector for row in rows} <= {detector, "cnn@0", "cnn@1"}


@pytest.mark.parametrize("side", [225, 245, 270])
def test_a_small_face_in_a_large_photo_is_that_of_the_doubled_photo(
    engine: Open, side: int
) -> None:
    one, box = large_photo(side, 500, 300, (1200, 800))  # faces of 39 to 46 pixels
    (quick,) = faces_in(engine(detectors=HOGS), one)
    (doubled,) = faces_in(engine(detectors=HOGS, hog="full"), one)
    assert quick.detector == doubled.detector == "hog@1"
    assert overlap(box_of(quick), box) > 0.5
    assert overlap(box_of(quick), box_of(doubled)) > 0.7


def test_all_sees_what_dlib_sees_in_a_large_photo_of_twice_the_size(engine: Open) -> None:
    canvas = Image.new("RGB", (4000, 3000), (90, 120, 150))
    portrait = Image.fromarray(skimage.data.astronaut())
    planted = []
    # Faces of 40 to 52 pixels, also where tiles of 4 megapixels meet.
    for number, left in enumerate(range(0, 3600, 450)):
        side = 230 + 10 * number
        small = portrait.resize((side, side), Image.Resampling.LANCZOS)
        for top in (0, 1300, 2600):
            canvas.paste(small, (left, top))
            planted.append(np.array(ASTRONAUT) * side / 512 + [left, top, left, top])
    by_dlib = dlib.get_frontal_face_detector()(np.asarray(canvas.convert("L")), 1)
    seen = [(one.left(), one.top(), one.right(), one.bottom()) for one in by_dlib]
    one, hog = photo("group.png", np.asarray(canvas)), {"face": "all", "detectors": HOGS}
    rows = faces_in(engine(**hog), one)
    for box in planted:
        for boxes in (seen, [box_of(row) for row in rows]):
            assert sum(overlap(tuple(box), other) > 0.5 for other in boxes) == 1
    assert len(rows) <= len(seen)
    # A smaller face costs nothing: it is not searched for.
    larger = faces_in(engine(**hog, min_face=50), one)
    assert 0 < len(larger) < len(planted)
    assert min(row.face.width for row in larger) >= 50


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
from tests.unit.engines import settings as settings_of
from meanface.engine.engine import Engine
from meanface.shards.manifest import Photo
settings = settings_of()
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


def test_quick_hog_takes_the_central_face_that_full_hog_takes(engine: Open) -> None:
    for name in ("Both/Both_0001.jpg", "Grace_Hopper/Grace_Hopper_0001.jpg"):
        (quick,) = faces_in(engine(hog="quick"), sample()[name])
        (full,) = faces_in(engine(hog="full"), sample()[name])
        assert overlap(box_of(quick), box_of(full)) > 0.6


def test_quick_hog_counts_all_faces_where_no_central_one_settles_it(engine: Open) -> None:
    (row,) = faces_in(engine(hog="quick", face="first"), sample()["Both/Both_0001.jpg"])
    assert row.faces == 2


def test_photos_that_all_fail_have_their_reasons(engine: Open) -> None:
    photos = [photo("grey", np.full((64, 64, 3), 128, np.uint8)), Photo("broken", 1, "", b"x")]
    failures = engine().encode(photos)
    assert [one.reason for one in failures if isinstance(one, Failure)] == [
        "no_face",
        "not_an_image",
    ]
    assert engine().encode([]) == []
