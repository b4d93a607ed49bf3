"""The files written from the schema of the configuration."""

import pytest
import yaml

from meanface.workflow.config import check_config, read_schema, with_defaults
from meanface.workflow.reference import SCHEMA, config_file, config_page
from tests.runs import ROOT

RULES = read_schema(ROOT / SCHEMA)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config/config.yaml", config_file(RULES)),
        ("docs/reference/config.md", config_page(RULES)),
    ],
    ids=["config", "page"],
)
def test_the_files_are_as_the_schema_has_them(file: str, text: str) -> None:
    """Else: python -m meanface.workflow.reference."""
    assert (ROOT / file).read_text(encoding="utf-8") == text


def test_the_file_gives_the_defaults_of_every_key() -> None:
    loaded = yaml.safe_load(config_file(RULES))
    assert loaded == with_defaults({}, ROOT / SCHEMA)
    assert list(loaded) == list(RULES["properties"])
    check_config(loaded, ROOT / SCHEMA)


def test_every_key_is_explained_on_the_page() -> None:
    page = config_page(RULES)
    for key, rule in RULES["properties"].items():
        assert f"### `{key}`\n\n{rule['explanation'].splitlines()[0]}" in page
