"""How names and numbers are shown, against cases made by hand."""

from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from meanface.report.text import folder_and_name, rst_table, shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("<script>alert(1)</script>.jpg", "<script>alert(1)</script>.jpg"),
        ("Café, $x$ 東京.jpg", "Café, $x$ 東京.jpg"),
        ("two\nlines\r.jpg", r"two\nlines\r.jpg"),
        ("gpj.\u202eelbisivni", r"gpj.\u202eelbisivni"),
        ("a" * 100, "a" * 29 + "…" + "a" * 30),
        ("a" * 60, "a" * 60),
    ],
)
def test_a_name_is_shown_on_one_line(name: str, text: str) -> None:
    assert shown(name) == text
    assert len(shown(name)) <= 60


@pytest.mark.parametrize("most", range(1, 12))
def test_a_long_name_keeps_its_ends(most: int) -> None:
    text = shown("0123456789", most)
    assert len(text) == min(most, 10)
    head, _, tail = text.partition("…")
    assert "0123456789".startswith(head)
    assert "0123456789".endswith(tail)


def test_a_photo_is_named_by_folder_and_name() -> None:
    assert folder_and_name("lfw/Ann/1.jpg") == ["lfw/Ann/", "1.jpg"]
    assert folder_and_name("1.jpg") == ["", "1.jpg"]


def test_a_table_for_the_report_takes_no_text_for_markup(tmp_path: Path) -> None:
    texts = ["a_ `b`_ *c* |d| :e:`f` [1]_", ".. raw:: html", "<script>alert(1)</script>", "a\\b"]
    rst_table({text: text for text in texts} | {"photos": 5321}, tmp_path / "table.rst")
    source = (tmp_path / "table.rst").read_text(encoding="utf-8")
    document = publish_doctree(source, settings_overrides={"halt_level": 2})
    cells = [entry.astext() for entry in document.findall(nodes.entry)]
    assert cells == [*(text for text in texts for _ in range(2)), "photos", "5,321"]
    plain = (nodes.document, nodes.table, nodes.tgroup, nodes.colspec, nodes.tbody, nodes.row)
    assert all(
        isinstance(node, (*plain, nodes.entry, nodes.paragraph, nodes.Text))
        for node in document.findall()
    )
