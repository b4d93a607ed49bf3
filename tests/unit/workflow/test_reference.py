"""What is written from the schemas of the configuration and of the tables."""

import pytest
import yaml

from meanface.files.schemas import FACES, MEANINGS
from meanface.workflow.config import check_config, read_schema, with_defaults
from meanface.workflow.reference import OUTPUTS, SCHEMA, config_file, config_page, outputs_page
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


def test_the_tables_of_columns_are_as_the_schemas_have_them() -> None:
    """Else: python -m meanface.workflow.reference."""
    page = (ROOT / OUTPUTS).read_text(encoding="utf-8")
    assert outputs_page(page) == page
    for name in FACES:
        assert f"| `{name}` |" in page
    assert f"| `detector` | text | {MEANINGS['faces.csv'][1]['detector']} |" in page
    with pytest.raises(ValueError, match="0 tables below a heading"):
        outputs_page(page.replace("## failures.csv", "## others.csv"))


def test_the_file_gives_the_defaults_of_every_key() -> None:
    loaded = yaml.safe_load(config_file(RULES))
    assert loaded == with_defaults({}, ROOT / SCHEMA)
    assert list(loaded) == list(RULES["properties"])
    check_config(loaded, ROOT / SCHEMA)


def test_every_key_is_explained_on_the_page() -> None:
    page = config_page(RULES)
    for key, rule in RULES["properties"].items():
        assert f"### `{key}`\n\n{rule['explanation'].splitlines()[0]}" in page
