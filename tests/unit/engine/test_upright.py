"""Tilted faces have the embedding of the same face upright, or fail."""

import numpy as np
import pytest
from PIL import Image

from meanface.engine.decode import decode
from meanface.engine.outcome import EncodedFace, Failure
from meanface.shards.manifest import Photo
from tests.lfw import lfw_photos, needs_lfw
from tests.unit.engines import Open, Pixels, faces_in, photo, sample

SAME = 0.6  # the distance below which two photos usually show one person
NEAR = 0.4
NAMES = (
    "Eileen_Collins/Eileen_Collins_0001.jpg",
    "Eileen_Collins/Eileen_Collins_0002.jpg",
    "Grace_Hopper/Grace_Hopper_0001.jpg",
    "Grace_Hopper/Grace_Hopper_0006.jpg",
)


def pixels_of(name: str) -> Pixels:
    data = sample()[name].data
    assert data is not None
    return decode(data, "full", 10**9)


def turned(pixels: Pixels, angle: int) -> Pixels:
    image = Image.fromarray(pixels)
    grey = (128, 128, 128)
    return np.asarray(image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=grey))


def distance(one: EncodedFace, other: EncodedFace) -> float:
    return float(np.linalg.norm(one.embedding - other.embedding))


def apart(one: float, other: float) -> float:
    """By how many degrees two angles differ."""
    return abs((one - other + 180) % 360 - 180)


@pytest.mark.parametrize(
    ("name", "landmarks"), [(NAMES[0], 68), (NAMES[1], 5), (NAMES[2], 68), (NAMES[3], 5)]
)
def test_a_face_has_one_embedding_at_every_angle(engine: Open, name: str, landmarks: int) -> None:
    opened = engine(landmarks=landmarks)
    pixels = pixels_of(name)
    (upright,) = faces_in(opened, photo("upright", pixels))
    found = {}
    for angle in range(15, 360, 15):
        (result,) = opened.encode([photo("turned", turned(pixels, angle))])
        if isinstance(result, Failure):
            assert result.reason in ("no_face", "tilted_face")
        else:
            (found[angle],) = result
    assert {15, 30, 45, 60, 300, 315, 330, 345} <= found.keys()
    for angle, face in found.items():
        assert distance(face, upright) < NEAR, angle
        assert apart(face.angle, upright.angle + angle) < 15
        assert -180 <= face.angle <= 180


@needs_lfw
@pytest.mark.parametrize(
    ("name", "angle"),
    [
        # HOG sees it, with a low score, and its landmarks seem upright.
        ("Ismail_Merchant/Ismail_Merchant_0002.jpg", 45),
        # CNN sees it, with a low score, in a box beside it.
        ("Monica_Bellucci/Monica_Bellucci_0002.jpg", 105),
    ],
)
def test_a_tilted_face_that_seems_upright(engine: Open, name: str, angle: int) -> None:
    pixels = dict(lfw_photos(200))[f"lfw/{name}"]
    (upright,) = faces_in(engine(), photo("upright", pixels))
    (result,) = engine().encode([photo("turned", turned(pixels, angle))])
    if isinstance(result, Failure):
        assert result.reason == "tilted_face"
    else:
        assert distance(result[0], upright) < NEAR


def test_a_tilted_face_is_encoded_as_it_is_found_where_that_is_asked_for(engine: Open) -> None:
    pixels = pixels_of(NAMES[1])
    as_found = engine(upright=False, landmarks=68)
    (upright,) = faces_in(as_found, photo("upright", pixels))
    (face,) = faces_in(as_found, photo("turned", turned(pixels, 60)))
    assert distance(face, upright) > SAME


@pytest.mark.parametrize("landmarks", [5, 68])
def test_an_upright_face_is_the_same_to_the_last_bit(engine: Open, landmarks: int) -> None:
    for name in NAMES:
        (with_search,) = faces_in(engine(landmarks=landmarks), sample()[name])
        (without,) = faces_in(engine(landmarks=landmarks, upright=False), sample()[name])
        assert np.array_equal(with_search.embedding, without.embedding)
        assert with_search.angle == without.angle


def test_each_face_of_a_photo_has_its_own_angle(engine: Open) -> None:
    upright, tilted = (pixels_of(name) for name in (NAMES[2], NAMES[1]))
    quarter = np.rot90(tilted)
    height = max(len(upright), len(quarter))
    both = np.full((height, upright.shape[1] + quarter.shape[1], 3), 128, np.uint8)
    both[: len(upright), : upright.shape[1]] = upright
    both[: len(quarter), upright.shape[1] :] = quarter
    opened = engine(face="all", detectors=("cnn@0",))
    left, right = sorted(faces_in(opened, photo("both", both)), key=lambda face: face.face.left)
    for face, pixels, angle in ((left, upright, 0), (right, tilted, 90)):
        (alone,) = faces_in(opened, photo("alone", pixels))
        assert distance(face, alone) < NEAR
        assert apart(face.angle, alone.angle + angle) < 15


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
def test_a_tilted_face_at_the_edge_of_a_photo(engine: Open, edge: str) -> None:
    pixels = turned(pixels_of(NAMES[1]), 60)
    (whole,) = faces_in(engine(), photo("whole", pixels))
    box = whole.face
    cut = {
        "top": pixels[max(0, box.top) :],
        "bottom": pixels[: box.bottom + 1],
        "left": pixels[:, max(0, box.left) :],
        "right": pixels[:, : box.right + 1],
    }[edge]
    assert cut.size < pixels.size
    (result,) = engine().encode([photo("cut", np.ascontiguousarray(cut))])
    if isinstance(result, Failure):
        assert result.reason in ("no_face", "tilted_face")
    else:
        assert distance(result[0], whole) < SAME


def test_an_outcome_does_not_depend_on_the_photos_beside_it(engine: Open) -> None:
    pixels = pixels_of(NAMES[1])
    photos = [photo(f"{angle}", turned(pixels, angle)) for angle in (0, 60, 90, 180, 300)]
    photos += [sample()[name] for name in NAMES]
    photos.append(face_of_two_minds())
    together = engine().encode(photos)
    for one, beside in zip(photos, together, strict=True):
        (alone,) = engine().encode([one])
        if isinstance(beside, Failure):
            assert alone == beside
        else:
            assert not isinstance(alone, Failure)
            (face,), (same,) = beside, alone
            np.testing.assert_allclose(face.embedding, same.embedding, rtol=0, atol=1e-6)
            assert (face.face, face.detector, face.angle) == (same.face, same.detector, same.angle)


def face_of_two_minds() -> Photo:
    """Two faces on each other, one upside down: nobody can tell its angle."""
    pixels = pixels_of(NAMES[1]).astype(np.uint16)
    return photo("blended", ((pixels + pixels[::-1]) // 2).astype(np.uint8))


def test_a_face_whose_angle_cannot_be_told_fails(engine: Open) -> None:
    (result,) = engine().encode([face_of_two_minds()])
    assert isinstance(result, Failure)
    assert result.reason == "tilted_face"
    assert result.detail.startswith("found by cnn@")
    assert faces_in(engine(upright=False), face_of_two_minds())
