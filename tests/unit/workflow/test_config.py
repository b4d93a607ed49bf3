"""The configuration: what is wrong is said in one line that names the key and what to write."""

from datetime import date
from typing import Any

import pytest
import yaml

from meanface.engine.settings import EngineSettings
from meanface.errors import UserError
from meanface.sources.source import sources_of
from meanface.workflow.config import check_config, with_defaults
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


@pytest.mark.parametrize(
    "name", ["accurate.yaml", "fast.yaml", "gpu.yaml", "lfw.yaml", "compat.yaml"]
)
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
        ("precision", "int16"),
        ("flip", 0),
        ("jitters", 0),
        ("jitters", 1001),
        ("device", "gpu"),
        ("batch", 0),
        ("batch", 1025),
        ("threads", 0),
        ("threads", 257),
        ("gpu_mb", 1999),
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
        ("precision", "float16"),
        ("gpu_mb", 2000),
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


@pytest.mark.parametrize("key", ["exclude", "pairs", "groups", "other"])
def test_a_path_may_begin_at_home(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert with_defaults({key: "~/a/b"}, SCHEMA)[key] == "/home/ann/a/b"
    assert with_defaults({key: "a/~b"}, SCHEMA)[key] == "a/~b"


def test_an_encoding_that_does_not_exist_is_named() -> None:
    check_config(DEFAULTS | {"zip_names": "cp932"}, SCHEMA)
    for name in ("foo", "hex", "rot13", "utf-16", "idna"):
        assert f"{name!r} is no encoding; write auto" in refusal(DEFAULTS | {"zip_names": name})


def test_a_folder_named_like_a_number_needs_its_place() -> None:
    # In a file of settings, YAML reads such names as dates too.
    many: list[object] = [2019, 1e5, True, date(2019, 8, 1), ["a", 2019], [{"photos": 2019}]]
    for value in many:
        assert "photos=./2019" in refusal(DEFAULTS | {"photos": value})


def test_words_are_names_of_folders_as_photos() -> None:
    for word in ("true", "null", "None"):
        assert with_defaults({"photos": word}, SCHEMA)["photos"] == word


@pytest.mark.parametrize(
    ("photos", "told"),
    [
        (None, "there is no value; write the path of an archive"),
        ("", "there is no value; write the path of an archive"),
        ([{"a": "b"}, "c"], """photos='["a: b", other]'"""),
        ([{"photos": "a", "sha": "b"}], "will not do; write the path"),
    ],
)
def test_photos_that_are_no_path_come_with_what_to_write(photos: object, told: str) -> None:
    assert told in refusal(DEFAULTS | {"photos": photos})
