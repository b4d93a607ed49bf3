"""The CSV tables hold any file name and read back unchanged, with pandas and with csv."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meanface.files.schemas import FAILURES
from meanface.files.tables import read_table, write_table

NAMES = [
    "a,b.jpg",
    'say "cheese".jpg',
    "two\nlines.jpg",
    "carriage\rreturn.jpg",
    "both\r\n.jpg",
    "=1+1.jpg",
    "-x.jpg",
    "NA",
    "null",
    "None/None.jpg",
    "001",
    "1e5",
    "True",
    " spaces ",
    "José/日本/😀.jpg",
    "#comment.jpg",
    "<script>alert(1)</script>.jpg",
    "\\xff.jpg",
    "'",
    '"',
    "tab\t.jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_reads_back_with_pandas_and_csv(name: str, tmp_path: Path) -> None:
    table = tmp_path / "failures.csv"
    rows = [(name, "no_face", name, "0001"), ("plain.jpg", "no_face", "", "0002")]
    write_table(table, FAILURES, rows)
    assert list(read_table(table, FAILURES).itertuples(index=False, name=None)) == rows
    as_a_user = pd.read_csv(table, keep_default_na=False, dtype=str)
    assert list(as_a_user.itertuples(index=False, name=None)) == rows
    with table.open(newline="", encoding="utf-8") as stream:
        assert [tuple(row) for row in csv.reader(stream)] == [tuple(FAILURES), *rows]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_text_reads_back(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    table = tmp_path_factory.mktemp("table") / "failures.csv"
    write_table(table, FAILURES, [(name, "no_face", name, "0001")])
    assert read_table(table, FAILURES)["path"].tolist() == [name]


def test_an_empty_table_has_its_header(tmp_path: Path) -> None:
    write_table(tmp_path / "failures.csv", FAILURES, [])
    assert (tmp_path / "failures.csv").read_text() == "path,reason,detail,shard\n"
    assert read_table(tmp_path / "failures.csv", FAILURES).columns.tolist() == list(FAILURES)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_table(tmp_path / "failures.csv", FAILURES, [("\udcff", "", "", "")])
    assert list(tmp_path.iterdir()) == []
