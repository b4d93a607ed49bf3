"""The configuration: what is wrong is said in one line that names the key and what to write."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from meanface.engine.settings import EngineSettings
from meanface.errors import UserError
from meanface.sources.checksum import Checksum
from meanface.sources.source import Source, sources_of
from meanface.workflow.config import check_command_line, check_config, with_defaults
from tests.runs import ROOT

SCHEMA = ROOT / "config/config.schema.yaml"
KEYS: dict[str, dict[str, Any]] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["properties"]
SHA256, MD5 = "0123456789abcdef" * 4, "0123456789abcdef" * 2
URL = "https://localhost/a/b%20c.tgz"


def preset(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))
    return loaded


DEFAULTS = preset("config.yaml")


def refusal(config: dict[str, Any]) -> str:
    """What a person is told; one line."""
    with pytest.raises(UserError) as raised:
        check_config(config, SCHEMA)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_the_defaults_are_valid_and_the_schema_has_their_keys() -> None:
    check_config(DEFAULTS, SCHEMA)
    assert list(KEYS) == list(DEFAULTS)


@pytest.mark.parametrize("name", ["lfw.yaml", "compat.yaml"])
def test_the_presets_are_valid_and_change_something(name: str) -> None:
    check_config(DEFAULTS | preset(name), SCHEMA)
    assert DEFAULTS | preset(name) != DEFAULTS


def test_the_preset_for_lfw_is_the_same_engine_and_a_verified_download() -> None:
    config = DEFAULTS | preset("lfw.yaml")
    assert EngineSettings.of(config) == EngineSettings.of(DEFAULTS)
    (source,) = sources_of(config, [])
    assert source.file_name == "lfw.tgz"
    assert len(source.urls) == 1 + len(config["mirrors"])


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_description_and_refuses_what_it_is_not(key: str) -> None:
    wrong = {"a": "b"}
    description = KEYS[key]["description"]
    assert refusal(DEFAULTS | {key: wrong}) == (
        f"config: {key}: {wrong!r} will not do; write {description}"
    )


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("photos", ""),
        ("photos", None),
        ("mirrors", ["ftp://localhost/x.tgz"]),
        ("mirrors", URL),
        ("sha256", MD5),
        ("sha256", "g" * 64),
        ("sha256", f"{SHA256}0"),
        ("md5", SHA256),
        ("md5", 11111111111111111111111111111111),
        ("shards", 0),
        ("shards", 100_001),
        ("shards", 2.5),
        ("shards", "many"),
        ("shards", True),
        ("suffixes", ["jpg"]),
        ("suffixes", ".jpg"),
        ("max_bytes", 0),
        ("max_total_bytes", 0),
        ("max_ratio", 0.5),
        ("max_pixels", 0),
        ("decode", "half"),
        ("detectors", []),
        ("detectors", ["hog"]),
        ("detectors", ["hog@2"]),
        ("detectors", ["cnn@-1"]),
        ("detectors", ["hog@0", "hog@0"]),
        ("detectors", "hog@0"),
        ("hog", "fast"),
        ("hog", 1),
        ("detect_pixels", -1),
        ("face", "left"),
        ("landmarks", 6),
        ("landmarks", "5"),
        ("min_face", -1),
        ("min_face", 1.5),
        ("min_score", -0.1),
        ("encoder", "torch"),
        ("flip", 0),
        ("device", "gpu"),
        ("batch", 0),
        ("batch", 1025),
        ("threads", 0),
        ("threads", 257),
        ("pairs", 5),
    ],
)
def test_a_wrong_value_is_named_with_what_to_write(key: str, wrong: object) -> None:
    message = refusal(DEFAULTS | {key: wrong})
    assert message.startswith(f"config: {key}: {wrong!r} will not do; write ")
    assert message.endswith(KEYS[key]["description"])


def test_a_cache_that_nothing_can_open_is_named() -> None:
    message = refusal(DEFAULTS | {"cache": "nosuch://bucket/cache"})
    assert message.startswith("config: cache: 'nosuch' is no protocol")
    assert message.endswith(KEYS["cache"]["description"])
    check_config(DEFAULTS | {"cache": "memory://cache"}, SCHEMA)


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("sha256", SHA256.upper()),
        ("md5", MD5),
        ("shards", "auto"),
        ("shards", 1),
        ("shards", 100_000),
        ("suffixes", []),
        ("suffixes", [".jpg", ".JPG"]),
        ("detectors", ["cnn@1"]),
        ("detect_pixels", 0),
        ("landmarks", 5),
        ("landmarks", 68),
        ("min_score", 0.5),
        ("min_score", 1),
        ("mirrors", [URL, "http://localhost/x"]),
        ("pairs", "pairs.txt"),
    ],
)
def test_what_is_allowed(key: str, right: object) -> None:
    check_config(DEFAULTS | {key: right}, SCHEMA)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("fase", "did you mean face?"),
        ("detector", "did you mean detectors?"),
        ("xyz", "config.yaml"),
    ],
)
def test_an_unknown_key_is_named(key: str, hint: str) -> None:
    message = refusal(DEFAULTS | {key: 1})
    assert message.startswith(f"config: unknown key {key!r}")
    assert hint in message


def test_what_is_missing_has_its_default_and_words_are_values() -> None:
    config = with_defaults({"photos": "x", "flip": "true", "cache": "None", "md5": "null"}, SCHEMA)
    assert config == DEFAULTS | {"photos": "x", "flip": True, "cache": None}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cores", "4", "--config", "photos=a", "shards=2", "all"],
        ["-C", "photos=a#b", "--forcerun", "acquire"],
        ["--config", 'photos="party #2"', "photos='party #2'", "photos=['a #1', b]"],
        ["pictures", "--cores=4"],
    ],
)
def test_a_command_line_that_is_read_as_it_is_written(arguments: list[str]) -> None:
    check_command_line(arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--config", "photos=a", "--config", "shards=2"], "after one --config"),
        (["-C", "photos=a", "--cores", "4", "--config=shards=2"], "after one --config"),
        (["--config", "photos=/a/party #2", "--cores", "4"], """'photos="/a/party #2"'"""),
        (["--cores", "4", "--config=cache=my #1"], """'cache="my #1"'"""),
    ],
)
def test_a_command_line_that_snakemake_reads_otherwise(arguments: list[str], told: str) -> None:
    with pytest.raises(UserError) as raised:
        check_command_line(arguments)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_named_like_a_number_needs_its_place() -> None:
    assert "photos=./2019" in refusal(DEFAULTS | {"photos": 2019})


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


def source_refusal(folders: list[Path], **config: object) -> str:
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


def test_a_path_that_is_not_there_is_named(folders: list[Path]) -> None:
    for photos in ("third.zip", "/nowhere/third.zip"):
        message = source_refusal(folders, photos=photos)
        assert message.startswith("config: photos: ")
        assert photos in message


@pytest.mark.parametrize("photos", ["x" * 5000, "zero\0byte", "~nobody-of-this-name/x", "s\ud800"])
def test_a_path_that_cannot_be_is_named(photos: str, folders: list[Path]) -> None:
    message = source_refusal(folders, photos=photos)
    assert message.startswith("config: photos: ")
    assert repr(photos) in message


def test_an_archive_has_no_braces_in_its_path_and_a_folder_may(folders: list[Path]) -> None:
    folder = folders[0] / "{shard}"
    folder.mkdir()
    (folder / "x.zip").touch()
    assert source(folders, photos="{shard}").path == folder
    message = source_refusal(folders, photos="{shard}/x.zip")
    assert message.startswith(f"config: photos: rename {folder}/x.zip")


def test_the_results_do_not_lie_among_the_photos(folders: list[Path]) -> None:
    """Pictures are among them, and would be photos to the next run."""
    for photos in (".", ".."):
        assert "results go into" in source_refusal(folders, photos=photos)
    assert source(folders, photos="photos").path == folders[0] / "photos"
    (folders[0] / "results").symlink_to(folders[0] / "photos/2026")
    assert "results go into" in source_refusal(folders, photos="photos")


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
    message = source_refusal(folders, photos="photos", md5=MD5)
    assert message == "config: md5: a folder has none; write null"


def test_two_checksums_are_refused(folders: list[Path]) -> None:
    for photos in ("both.zip", URL):
        message = source_refusal(folders, photos=photos, sha256=SHA256, md5=MD5)
        assert message == "config: sha256 and md5 are both given; write one of them"


def test_a_url_comes_with_its_mirrors_and_a_checksum(folders: list[Path]) -> None:
    found = source(folders, photos=URL, mirrors=["http://localhost/other"], md5=MD5)
    urls = (URL, "http://localhost/other")
    assert found == Source("photos", "", urls, None, Checksum("md5", MD5))
    assert found.file_name == "b c.tgz"
    assert source(folders, photos="https://localhost/", md5=MD5).file_name == "photos"
    message = source_refusal(folders, photos=URL)
    assert message.startswith("config: sha256: missing for the URL")
    assert URL in message


def test_a_url_that_cannot_be_is_named(folders: list[Path]) -> None:
    message = source_refusal(folders, photos="https://[::1/x.tgz", sha256=SHA256)
    assert message.startswith("config: photos: 'https://[::1/x.tgz' will not do: ")


def test_other_schemes_are_refused(folders: list[Path]) -> None:
    for photos in ("ftp://localhost/x.tgz", "s3://bucket/x.tgz", "file:///x.tgz"):
        message = source_refusal(folders, photos=photos, sha256=SHA256)
        assert message == f"config: photos: {photos!r}; write a URL with http:// or https://"
