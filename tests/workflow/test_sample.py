"""The bundled sample is what its script makes, and every photo in it is what its README says."""

import csv
import hashlib
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

SAMPLE = Path(__file__).parents[2] / "sample"
NO_PHOTOS = {
    "sample/.DS_Store",
    "sample/Grace_Hopper/._Grace_Hopper_0001.jpg",
    "sample/README.txt",
}


def read_archive(path: Path) -> dict[str, bytes]:
    """Return the bytes of every member by its path."""
    with tarfile.open(path, "r:gz") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def read_expected(path: Path) -> dict[str, str]:
    """Return the outcome of every photo by its path."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["path"]: row["outcome"] for row in csv.DictReader(file)}


def readme_rows() -> Iterator[tuple[str, str, str]]:
    """Yield path, outcome and detector of every row of the table in the sample's README."""
    for line in (SAMPLE / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch("`sample/.*`", cells[0]):
            path, _what, outcome, detector = cells
            yield path.strip("`"), outcome, detector


MEMBERS = read_archive(SAMPLE / "sample.tar.gz")
EXPECTED = read_expected(SAMPLE / "expected.csv")
FOUND_BY = {path: detector for path, outcome, detector in readme_rows() if outcome == "encoded"}


def paths(outcome: str) -> list[str]:
    """Return the photos that should end so."""
    return [path for path, expected in EXPECTED.items() if expected == outcome]


def decode(data: bytes) -> Image.Image:
    """Return the decoded photo; raises OSError or UnidentifiedImageError where there is none."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def rgb(path: str) -> npt.NDArray[np.uint8]:
    """Return the photo as a viewer shows it: upright, 8 bits, on white; uint8 (h, w, 3)."""
    image = ImageOps.exif_transpose(decode(MEMBERS[path]))
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


@cache
def hog_detector() -> dlib.fhog_object_detector:
    """Return dlib's HOG detector."""
    return dlib.get_frontal_face_detector()


def hog_faces(path: str, upsample: int) -> int:
    """Return how many faces dlib's HOG detector, face_recognition's default, finds."""
    return len(hog_detector()(rgb(path), upsample))


@cache
def cnn_detector() -> dlib.cnn_face_detection_model_v1:
    """Return dlib's CNN detector."""
    return dlib.cnn_face_detection_model_v1(
        face_recognition_models.cnn_face_detector_model_location()
    )


def cnn_faces(path: str, upsample: int) -> int:
    """Return how many faces dlib's CNN detector finds."""
    return len(cnn_detector()(rgb(path), upsample))


def make_sample(folder: Path) -> bytes:
    """Run the script into `folder`; return the archive that it wrote."""
    script = SAMPLE / "make_sample.py"
    folder.mkdir()
    subprocess.run([sys.executable, script, "--out", folder], check=True)
    return (folder / "sample.tar.gz").read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a fresh run of the script fills."""
    folder = tmp_path_factory.mktemp("sample") / "made"
    make_sample(folder)
    return folder


def test_archive_has_its_sha256_and_is_small() -> None:
    data = (SAMPLE / "sample.tar.gz").read_bytes()
    line = (SAMPLE / "sample.tar.gz.sha256").read_text(encoding="ascii")
    assert line == f"{hashlib.sha256(data).hexdigest()}  sample.tar.gz\n"
    assert len(data) < 2_000_000


def test_photos_are_thirty_and_all_listed() -> None:
    assert len(EXPECTED) == 30
    assert set(MEMBERS) - set(EXPECTED) == NO_PHOTOS
    assert set(EXPECTED) <= set(MEMBERS)
    assert set(EXPECTED.values()) == {"encoded", "no_face", "truncated", "not_an_image"}


def test_readme_table_agrees_with_expected_csv() -> None:
    assert {path: outcome for path, outcome, _ in readme_rows()} == EXPECTED


def test_members_have_no_times_and_no_owners() -> None:
    with tarfile.open(SAMPLE / "sample.tar.gz") as tar:
        infos = tar.getmembers()
    assert [info.name for info in infos] == sorted(MEMBERS)
    assert {(info.mtime, info.uid, info.gid, info.uname) for info in infos} == {(0, 0, 0, "")}


def test_script_writes_the_same_bytes_each_time(made: Path, tmp_path: Path) -> None:
    assert make_sample(tmp_path / "again") == (made / "sample.tar.gz").read_bytes()
    assert sorted(file.name for file in made.iterdir()) == [
        "expected.csv",
        "sample.tar.gz",
        "sample.tar.gz.sha256",
    ]


def test_committed_sample_is_what_the_script_makes(made: Path) -> None:
    """Compares pixels: compressors may write other bytes for the same ones on another machine."""
    members = read_archive(made / "sample.tar.gz")
    assert list(members) == list(MEMBERS)
    assert read_expected(made / "expected.csv") == EXPECTED
    for path, data in members.items():
        if EXPECTED.get(path) in ("encoded", "no_face"):
            new, old = decode(data), decode(MEMBERS[path])
            assert (new.format, new.mode, new.size) == (old.format, old.mode, old.size), path
            assert new.getexif().get(0x0112) == old.getexif().get(0x0112), path
            np.testing.assert_array_equal(np.asarray(new), np.asarray(old), err_msg=path)
        elif EXPECTED.get(path) == "truncated":
            assert data[:33] == MEMBERS[path][:33], path
        else:
            assert data == MEMBERS[path], path


def test_photos_are_of_many_kinds() -> None:
    images = [decode(MEMBERS[path]) for path in paths("encoded")]
    assert {image.format for image in images} == {"GIF", "JPEG", "PNG", "TIFF", "WEBP"}
    assert {image.mode for image in images} == {"CMYK", "I;16", "L", "P", "RGB", "RGBA"}
    assert {image.getexif().get(0x0112, 1) for image in images} == {1, 3, 6, 8}
    transparent = [image.format for image in images if image.has_transparency_data]
    assert sorted(filter(None, transparent)) == ["GIF", "PNG"]


@pytest.mark.parametrize("path", paths("encoded"))
def test_face_is_found_by_the_detector_that_the_readme_names(path: str) -> None:
    found_by = FOUND_BY[path]
    assert bool(hog_faces(path, 0)) == (found_by == "HOG")
    assert bool(hog_faces(path, 1)) == (found_by in ("HOG", "HOG, upsampled"))
    if found_by == "CNN":
        assert [cnn_faces(path, upsample) for upsample in (0, 1)] == [1, 1]


def test_every_rung_of_the_ladder_has_photos() -> None:
    rungs = list(FOUND_BY.values())
    assert {rung: rungs.count(rung) for rung in rungs} == {"HOG": 18, "HOG, upsampled": 2, "CNN": 3}


@pytest.mark.parametrize("path", [path for path in EXPECTED if "/Both/" in path])
def test_photos_of_two_show_two(path: str) -> None:
    assert [hog_faces(path, upsample) for upsample in (0, 1)] == [2, 2]


@pytest.mark.parametrize(
    "path", [path for path in paths("encoded") if decode(MEMBERS[path]).getexif().get(0x0112)]
)
def test_rotated_photos_are_found_only_when_the_exif_tag_is_honoured(path: str) -> None:
    stored = np.asarray(decode(MEMBERS[path]))
    assert not hog_detector()(stored, 0)
    assert not hog_detector()(stored, 1)


@pytest.mark.parametrize("path", paths("no_face"))
def test_no_detector_finds_a_face_where_there_is_none(path: str) -> None:
    assert [hog_faces(path, upsample) for upsample in (0, 1)] == [0, 0]
    assert [cnn_faces(path, upsample) for upsample in (0, 1)] == [0, 0]


@pytest.mark.parametrize("path", paths("truncated"))
def test_truncated_photos_open_but_do_not_decode(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Importing face_recognition, as other tests do, makes Pillow fill up what is missing with grey.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    Image.open(io.BytesIO(MEMBERS[path]))
    with pytest.raises(OSError, match="truncated"):
        decode(MEMBERS[path])


@pytest.mark.parametrize("path", paths("not_an_image"))
def test_what_is_no_image_does_not_open(path: str) -> None:
    with pytest.raises(UnidentifiedImageError):
        decode(MEMBERS[path])
