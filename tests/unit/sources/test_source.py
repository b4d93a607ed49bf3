"""Where the photos are: what is wrong is said in one line that names what to write."""

from pathlib import Path

import pytest
import yaml

from meanface.errors import UserError
from meanface.sources.checksum import Checksum
from meanface.sources.source import Source, sources_of
from tests.runs import ROOT

DEFAULTS = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
SHA256, MD5 = "0123456789abcdef" * 4, "0123456789abcdef" * 2
URL = "https://localhost/a/b%20c.tgz"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders; both have a both.zip and a folder photos, the second alone has second.zip."""
    for name in ("first", "second"):
        (tmp_path / name / "photos").mkdir(parents=True)
        (tmp_path / name / "both.zip").touch()
    (tmp_path / "second/second.zip").touch()
    return [tmp_path / "first", tmp_path / "second"]


def source(folders: list[Path], **config: object) -> Source:
    (only,) = sources_of(DEFAULTS | config, folders)
    return only


def refusal(folders: list[Path], **config: object) -> str:
    with pytest.raises(UserError) as raised:
        source(folders, **config)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_relative_path_is_looked_up_in_the_folders_in_order(folders: list[Path]) -> None:
    first, second = folders
    assert source(folders, photos="both.zip") == Source("photos", "", (), first / "both.zip", None)
    assert source(folders[::-1], photos="both.zip").path == second / "both.zip"
    assert source(folders, photos="second.zip").path == second / "second.zip"
    assert source(folders, photos="photos").path == first / "photos"
    assert source(folders, photos="photos").file_name == "photos"


def test_an_absolute_path_and_one_from_home_are_taken_as_they_are(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folders[1]))
    assert source(folders, photos=str(folders[1] / "both.zip")).path == folders[1] / "both.zip"
    assert source(folders, photos="~/both.zip").path == folders[1] / "both.zip"
    (folders[0] / "~nobody-of-this-name").mkdir()
    for photos in ("~nobody-of-this-name", "./~nobody-of-this-name"):
        assert source(folders, photos=photos).path == folders[0] / "~nobody-of-this-name"


def test_a_path_that_is_not_there_is_named(folders: list[Path]) -> None:
    for photos in ("third.zip", "/nowhere/third.zip"):
        message = refusal(folders, photos=photos)
        assert message.startswith("config: photos: ")
        assert photos in message
        assert (f"starts at {folders[0]}," in message) == (photos == "third.zip")


@pytest.mark.parametrize("photos", ["x" * 5000, "zero\0byte", "~nobody-of-this-name/x", "s\ud800"])
def test_a_path_that_cannot_be_is_named(photos: str, folders: list[Path]) -> None:
    message = refusal(folders, photos=photos)
    assert message.startswith("config: photos: ")
    assert repr(photos) in message


def test_an_archive_has_no_braces_in_its_path_and_a_folder_may(folders: list[Path]) -> None:
    folder = folders[0] / "{shard}"
    folder.mkdir()
    (folder / "x.zip").touch()
    assert source(folders, photos="{shard}").path == folder
    message = refusal(folders, photos="{shard}/x.zip")
    assert message.startswith(f"config: photos: rename {folder}/x.zip")


def test_the_results_do_not_lie_among_the_photos(folders: list[Path]) -> None:
    """Pictures are among them, and would be photos to the next run."""
    for photos in (".", ".."):
        assert "results go into" in refusal(folders, photos=photos)
    assert source(folders, photos="photos").path == folders[0] / "photos"
    (folders[0] / "results").symlink_to(folders[0] / "photos/2026")
    assert "results go into" in refusal(folders, photos="photos")


@pytest.mark.parametrize(
    ("url", "name"),
    [("%7Bx%7D.tgz", "_x_.tgz"), ("..", "photos"), ("%2e%2e", "photos"), ("a%00%0Ab", "a__b")],
)
def test_a_download_has_a_plain_name(url: str, name: str, folders: list[Path]) -> None:
    photos = f"https://localhost/{url}"
    assert source(folders, photos=photos, md5=MD5).file_name == name


def test_an_archive_may_have_a_checksum_and_a_folder_has_none(folders: list[Path]) -> None:
    checksum = source(folders, photos="both.zip", sha256=SHA256.upper()).checksum
    assert checksum == Checksum("sha256", SHA256)
    message = refusal(folders, photos="photos", md5=MD5)
    assert message == "config: md5: a folder has none; write null"


def test_two_checksums_are_refused(folders: list[Path]) -> None:
    for photos in ("both.zip", URL):
        message = refusal(folders, photos=photos, sha256=SHA256, md5=MD5)
        assert message == "config: sha256 and md5 are both given; write one of them"


def test_a_url_comes_with_its_mirrors_and_a_checksum(folders: list[Path]) -> None:
    found = source(folders, photos=URL, mirrors=["http://localhost/other"], md5=MD5)
    urls = (URL, "http://localhost/other")
    assert found == Source("photos", "", urls, None, Checksum("md5", MD5))
    assert found.file_name == "b c.tgz"
    assert source(folders, photos="https://localhost/", md5=MD5).file_name == "photos"
    message = refusal(folders, photos=URL)
    assert message.startswith("config: sha256: missing for the URL")
    assert URL in message


def test_a_url_that_cannot_be_is_named(folders: list[Path]) -> None:
    message = refusal(folders, photos="https://[::1/x.tgz", sha256=SHA256)
    assert message.startswith("config: photos: 'https://[::1/x.tgz' will not do: ")


def test_other_schemes_are_refused(folders: list[Path]) -> None:
    for photos in ("ftp://localhost/x.tgz", "s3://bucket/x.tgz"):
        message = refusal(folders, photos=photos, sha256=SHA256)
        assert message == f"config: photos: {photos!r}; write a URL with http:// or https://"
    message = refusal(folders, photos="file:///my%20photos/x.tgz")
    assert message.endswith("; write the path, /my photos/x.tgz")


def test_photos_below_the_results_are_refused(folders: list[Path]) -> None:
    """A run may remove what is there."""
    inside = folders[0] / "results/download/photos"
    inside.mkdir(parents=True)
    (inside / "mine.zip").touch()
    for photos in (inside, inside / "mine.zip"):
        assert "move it out of there" in refusal(folders, photos=str(photos))
