"""The first look for a face over the middle, against dlib's search of the whole pyramid."""

from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from meanface.engine.decode import decode
from meanface.engine.export import export
from meanface.engine.face import Face, choose, distinct
from meanface.engine.glance import Glance
from meanface.errors import UserError
from tests.lfw import lfw_photos, needs_lfw
from tests.unit.engines import sample

Grey = NDArray[np.uint8]
SIZES = [75, 90, 110, 160, 220, 300, 420]  # of a face in pixels, about


@pytest.fixture(scope="module")
def glance(tmp_path_factory: pytest.TempPathFactory) -> Glance:
    model = tmp_path_factory.mktemp("models") / "hog.svm"
    export("hog", model)
    return Glance(model)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Grey], list[Face]]:
    """dlib's own search of all levels, with the filter for faces from the front alone."""
    model = tmp_path_factory.mktemp("models") / "hog.svm"
    export("hog", model)
    model.write_bytes(model.read_bytes().replace(b"\x01\x05", b"\x01\x01", 1))
    detector = dlib.fhog_object_detector(str(model))

    def search(photo: Grey) -> list[Face]:
        boxes, scores, _ = detector.run(photo, 0, 0.0)
        return [
            Face(box.left(), box.top(), box.right(), box.bottom(), score)
            for box, score in zip(boxes, scores, strict=True)
        ]

    return search


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    """A photo of 2.5 times the size of the face in its middle."""
    photo = sample()["Grace_Hopper/Grace_Hopper_0001.jpg"]
    image = Image.fromarray(decode(photo.data, "full", 10**9)).convert("L")
    boxes = dlib.get_frontal_face_detector()(np.asarray(image), 0)
    middle, half = boxes[0].center(), round(1.25 * boxes[0].width())
    place = middle.x - half, middle.y - half, middle.x + half, middle.y + half
    return image.crop(place)


def made(portrait: Image.Image, size: int, side: int, at: float = 0.5) -> Grey:
    """A grey photo of `side` x `side` pixels with a face of `size` pixels, `at` of its width."""
    photo = Image.new("L", (side, side), 128)
    around = round(2.5 * size)
    photo.paste(
        portrait.resize((around, around)), (round(at * side) - around // 2, (side - around) // 2)
    )
    return np.asarray(photo)


def box(face: Face) -> tuple[int, int, int, int]:
    return face.left, face.top, face.right, face.bottom


@pytest.mark.parametrize("side", [250, 700, 1000])
@pytest.mark.parametrize("size", SIZES)
def test_a_face_over_the_middle_is_that_of_the_whole_search(
    size: int,
    side: int,
    portrait: Image.Image,
    glance: Glance,
    whole: Callable[[Grey], list[Face]],
) -> None:
    photo = made(portrait, size, side)
    wanted = whole(photo)
    if not wanted:
        assert glance(photo) == []
        return
    found = glance(photo)[0]
    # It may lie one level further up: the box is then larger by a fifth.
    assert 1 <= found.width / wanted[0].width < 1.25
    assert distinct([wanted[0], found]) == [wanted[0]]
    if found.width == wanted[0].width:
        assert box(found) == box(wanted[0])
        assert found.score == pytest.approx(wanted[0].score, abs=1e-6)


def test_a_face_beside_the_middle_is_left_to_the_whole_search(
    portrait: Image.Image, glance: Glance, whole: Callable[[Grey], list[Face]]
) -> None:
    photo = made(portrait, 120, 1000, at=0.2)
    assert whole(photo)
    assert glance(photo) == []


def test_faces_of_the_levels_searched_are_given_the_most_certain_first(
    portrait: Image.Image, glance: Glance
) -> None:
    photo = made(portrait, 100, 800).copy()
    photo[:, 560:] = made(portrait, 100, 800, at=0.85)[:, 560:]
    found = glance(photo)
    assert len(found) == 2
    assert found[0].score >= found[1].score


def test_a_photo_without_a_face_or_smaller_than_a_window_has_none(glance: Glance) -> None:
    for shape in ((300, 300), (20, 30), (1, 1), (64, 2000)):
        assert glance(np.full(shape, 99, np.uint8)) == []


def test_a_detector_that_is_saved_in_another_way_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "hog.svm"
    export("hog", model)
    model.write_bytes(model.read_bytes().replace(b"\x02\xe8\x03", b"\x02\xe9\x03"))
    with pytest.raises(UserError, match="saved by another dlib; install dlib 20"):
        Glance(model)


@needs_lfw
def test_lfw_loses_no_face(glance: Glance, whole: Callable[[Grey], list[Face]]) -> None:
    same = 0
    photos = [np.asarray(Image.fromarray(pixels).convert("L")) for _, pixels in lfw_photos(100)]
    over_middle = 0
    for photo in photos:
        y, x = photo.shape[0] // 2, photo.shape[1] // 2
        faces = whole(photo)
        if not any(f.left <= x <= f.right and f.top <= y <= f.bottom for f in faces):
            continue
        over_middle += 1
        [wanted] = choose(faces, "central", *photo.shape)
        [found] = choose(glance(photo), "central", *photo.shape)
        same += box(found) == box(wanted)
    assert over_middle > 85
    assert same == over_middle
