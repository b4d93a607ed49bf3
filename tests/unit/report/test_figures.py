"""Figures: texts that stay texts, and the same bytes every time."""

import json
from pathlib import Path

import altair as alt
import pandas as pd

from meanface.report.figures import Tile, as_page, contact_sheet, new_figure, save


def test_dollars_and_backslashes_in_a_name_are_drawn_as_they_are(tmp_path: Path) -> None:
    names = [r"$\frac{$.jpg", "$x$.jpg", "x.jpg"]
    for index, name in enumerate(names):
        sheet = contact_sheet(name, {name: [Tile(None, [name], instead=name)]})
        save(sheet, tmp_path / f"{index}.png", tmp_path / f"{index}.svg")
    # As mathematics, $x$ would be an x in italics.
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "2.png").read_bytes()
    assert 'id="DejaVuSans-Oblique' not in (tmp_path / "1.svg").read_text(encoding="utf-8")


def test_a_figure_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in "ab":
        figure = new_figure("finding")
        figure.subplots().plot([1, 2])
        save(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
    for kind in "png", "svg":
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.svg", "b.png", "b.svg"}


def test_no_text_of_a_chart_ends_its_script(tmp_path: Path) -> None:
    names = ["</script><script>alert(1)</script>", "<!--<script>", "a&b\\"]
    chart = alt.Chart(pd.DataFrame({"x": [1, 2, 3], "name": names})).mark_point().encode(x="x:Q")
    as_page(chart, tmp_path / "map.html", named=True)
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if "const spec = " in line)
    assert "<" not in line
    (rows,) = json.loads(line.partition("const spec = ")[2].rstrip(";"))["datasets"].values()
    assert [row["name"] for row in rows] == names
    assert "src=" not in page.partition("<body>")[2]
