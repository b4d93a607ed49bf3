"""Writes config/config.yaml and docs/reference/config.md from the schema of the configuration.

python -m meanface.workflow.reference        # from the root of the repository
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from meanface.files.atomic import replacing
from meanface.files.schemas import MEANINGS
from meanface.workflow.config import read_schema

SCHEMA = Path("config/config.schema.yaml")
OUTPUTS = Path("docs/reference/outputs.md")
WRITTEN_BY = "Written from config/config.schema.yaml by `python -m meanface.workflow.reference`."


def config_file(schema: Mapping[str, Any]) -> str:
    """Give the text of config/config.yaml: every key with its explanation and its default."""
    blocks = [
        _comment(
            "The default run: the bundled sample. Set keys on the command line, `--config "
            "photos=/data/party.zip shards=64`, or in a file of your own, `--configfile "
            f"mine.yaml`. Your file needs only the keys that differ.\n{WRITTEN_BY}"
        )
    ]
    for section in schema["sections"]:
        blocks.append(f"\n# --- {section['title']} ---".ljust(98, "-"))
        for key in section["keys"]:
            rule = schema["properties"][key]
            blocks += [_comment(rule["explanation"]), _assignment(key, rule["default"])]
    return "\n".join(blocks) + "\n"


def config_page(schema: Mapping[str, Any]) -> str:
    """Give the page of the reference: every key with its explanation, values and default."""
    lines = [
        "# Configuration",
        "",
        f"<!-- {WRITTEN_BY} -->",
        "",
        "Set keys on the command line, `--config photos=/data/party.zip shards=64`, or in a file",
        "of your own, `--configfile mine.yaml`. Your file needs only the keys that differ. A wrong",
        "key or value stops the run with one line before any job starts.",
    ]
    for section in schema["sections"]:
        lines += ["", f"## {section['title'][0].upper()}{section['title'][1:]}"]
        for key in section["keys"]:
            rule = schema["properties"][key]
            lines += ["", f"### `{key}`", "", *_markdown(rule["explanation"]), ""]
            lines += [f"Default: `{_value(rule['default'])}`. Values: {rule['description']}."]
    return "\n".join(lines) + "\n"


_TYPES = {str: "text", int: "integer", float: "number"}


def outputs_page(page: str) -> str:
    """Give the page of outputs with the tables of columns as the schemas have them.

    A table stands below the heading of its file, `## faces.csv`.
    """
    for file, (schema, meanings) in MEANINGS.items():
        rows = [
            f"| `{name}` | {_TYPES[kind]} | {meanings[name]} |" for name, kind in schema.items()
        ]
        table = "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])
        pattern = rf"(## {re.escape(file)}\n[^|]*)(?:\|[^\n]*\n)+"
        page, found = re.subn(pattern, lambda match, new=table: f"{match[1]}{new}\n", page)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"the page has {found} tables below a heading {file}")
    return page


def _markdown(explanation: str) -> Iterator[str]:
    """Yield lines in which an indented line is code and any other line a paragraph."""
    is_code = False
    for number, line in enumerate(explanation.splitlines()):
        if number and is_code != line.startswith("    "):
            yield ""
        is_code = line.startswith("    ")
        yield line


def _comment(text: str) -> str:
    return "\n".join(
        wrapped
        for line in text.splitlines()
        for wrapped in textwrap.wrap(line, 98, initial_indent="# ", subsequent_indent="# ")
    )


def _assignment(key: str, default: object) -> str:
    return "\n".join(textwrap.wrap(f"{key}: {_value(default)}", 98, subsequent_indent="    "))


def _value(default: object) -> str:
    """Give a value in YAML's flow style, as a person would write it."""
    if isinstance(default, list):
        return f"[{', '.join(map(_value, default))}]"
    if isinstance(default, str) and yaml.safe_load(default) == default:
        return default
    return json.dumps(default)


def main() -> None:
    """Write the files below the working directory."""
    schema = read_schema(SCHEMA)
    for target, text in (
        (Path("config/config.yaml"), config_file(schema)),
        (Path("docs/reference/config.md"), config_page(schema)),
        (OUTPUTS, outputs_page(OUTPUTS.read_text(encoding="utf-8"))),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
