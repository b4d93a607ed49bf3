"""The configuration: completed with the schema's defaults, and checked before any job starts."""

import difflib
import math
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from meanface.errors import UserError
from meanface.files.home import from_home


def _is_number(_: object, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# JSON Schema accepts 1.0 as an integer, and NaN as a number. Both would fail much later.
_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


# Snakemake reads these words of YAML and Python as text on the command line.
_WORDS = {"true": True, "false": False, "null": None, "None": None}

# Keys whose path may begin with ~, beside `photos`, `query` and `cache`. Shells do not expand it.
_PATHS = ("exclude", "pairs", "groups", "other")


@cache
def read_schema(schema: Path) -> dict[str, Any]:
    """Read the JSON schema of the configuration from a YAML file."""
    content: dict[str, Any] = yaml.safe_load(schema.read_text(encoding="utf-8"))
    return content


def with_defaults(config: Mapping[str, Any], schema: Path) -> dict[str, Any]:
    """Complete a configuration with the defaults in the YAML file `schema`.

    The words true, false, null and None become values; as `photos`, they are names of folders. In
    a path, ~ becomes the home folder.
    """
    defaults = {key: rule["default"] for key, rule in read_schema(schema)["properties"].items()}
    given = {
        key: _WORDS.get(value, value) if isinstance(value, str) and key != "photos" else value
        for key, value in config.items()
    }
    paths = {key: given[key] for key in _PATHS if isinstance(given.get(key), str)}
    return defaults | given | {key: from_home(str(path)) for key, path in paths.items()}


def check_config(config: Mapping[str, Any], schema: Path) -> None:
    """Check a complete configuration against the JSON schema in the YAML file `schema`.

    Raises UserError for the first wrong key: one line that names the key and says what to write.
    """
    rules = read_schema(schema)
    for key in config:
        if key not in rules["properties"]:
            close = difflib.get_close_matches(str(key), rules["properties"], n=1)
            hint = f"did you mean {close[0]}?" if close else "config/config.yaml has all keys"
            raise UserError(f"config: unknown key {key!r}; {hint}")
    error = jsonschema.exceptions.best_match(_Validator(rules).iter_errors(config))
    if error is None:
        _check_cache(str(config["cache"]), rules["properties"]["cache"]["description"])
        _check_encoding(config["zip_names"], rules["properties"]["zip_names"]["description"])
        return
    key = str(error.absolute_path[0])
    description = rules["properties"][key]["description"]
    if key == "photos":
        raise UserError(_about_photos(config[key], description))
    raise UserError(f"config: {key}: {config[key]!r} will not do; write {description}")


def _about_photos(photos: object, description: str) -> str:
    """Say what to write instead of `photos`, which are neither text nor a list of it."""
    if photos is None or photos == "":
        return f"config: photos: there is no value; write {description}"
    several = photos if isinstance(photos, list) else []
    for one in (photos, *several):
        place = one.get("photos") if isinstance(one, dict) else one
        if isinstance(place, int | float | date):
            return (
                f"config: photos: Snakemake read {place}, not a name; write ./ before a folder "
                "of such a name, as in photos=./2019"
            )
    for one in several:
        if isinstance(one, dict) and "photos" not in one:
            return (
                f"config: photos: {one!r} in the list is no path; write a path that has a colon "
                "and a blank in quotes, photos='[\"a: b\", other]'"
            )
    return f"config: photos: {photos!r} will not do; write {description}"


def _check_encoding(name: str, description: str) -> None:
    try:
        # Some codecs of Python do not decode to text, read escapes, or have no surrogateescape.
        text = r"a/\x62"
        is_encoding = name == "auto" or text.encode().decode(name, "surrogateescape") == text
    except (LookupError, ValueError):
        is_encoding = False
    if not is_encoding:
        raise UserError(f"config: zip_names: {name!r} is no encoding; write {description}")


def _check_cache(address: str, description: str) -> None:
    protocol, is_address, _ = address.partition("://")
    if is_address:
        from fsspec import available_protocols  # takes 0.2 s, which most runs save

        if protocol not in available_protocols():
            raise UserError(
                f"config: cache: {protocol!r} is no protocol that fsspec knows; write {description}"
            )
