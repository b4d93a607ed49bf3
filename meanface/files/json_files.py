"""JSON objects in files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meanface.files.atomic import replacing


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented, as UTF-8."""
    with replacing(target) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(source: Path) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return content
