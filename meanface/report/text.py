"""How the report shows file names and numbers as text."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from meanface.files.atomic import replacing

NAMED = "shows paths, or names of persons or sources"
"""The description in each file of a figure that does so."""


def shown(name: str, most: int = 60) -> str:
    """Give a file name as a figure shows it: on one line, at most `most` characters.

    Characters that cannot be printed are escaped (a line end is `\\n`). A longer name loses its
    middle.
    """
    printable = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in name
    )
    if len(printable) <= most:
        return printable
    head = (most - 1) // 2
    tail = most - 1 - head
    return f"{printable[:head]}…{printable[len(printable) - tail :]}"


def called(people: Iterable[str], most: int, *, paths: bool) -> dict[str, str]:
    """Give what a figure calls each person: the name as `shown`, or a number without `paths`."""
    return {
        person: shown(person, most) if paths else f"person {number}"
        for number, person in enumerate(people, 1)
    }


def folder_and_name(path: str) -> list[str]:
    """Give the two lines that name a photo in a figure."""
    folder, slash, name = path.rpartition("/")
    return [folder + slash, name]


def rst_table(numbers: Mapping[str, object], target: Path) -> None:
    """Write names and values as a table in reStructuredText. No text is taken for markup."""
    lines = [".. list-table::", "   :widths: auto", ""]
    for name, value in numbers.items():
        text = f"{value:,}" if isinstance(value, int) else shown(str(value))
        lines += [f"   * - {_literal(name)}", f"     - {_literal(text)}"]
    with replacing(target) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _literal(text: str) -> str:
    """Escape all characters that reStructuredText may take for markup."""
    return re.sub(r"([^\w\s]|_)", r"\\\1", text)
