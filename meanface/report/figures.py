"""What the figures share: their style, contact sheets of photos, and how they are saved."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from meanface.files.atomic import replacing
from meanface.report.text import NAMED, shown

if TYPE_CHECKING:
    import altair as alt


# The palette of M. Okabe and K. Ito, which colour-blind readers can tell apart.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
GREY = "#767676"
PALE = "#E4E4E4"

WIDTH = 7.2  # inches, as wide as a printed page

# Fonts for scripts that DejaVu lacks. matplotlib warns of fonts that are not installed.
_FALLBACKS = ("Noto Sans CJK JP", "WenQuanYi Zen Hei", "Hiragino Sans", "Noto Sans Devanagari")
_INSTALLED = {font.name for font in fontManager.ttflist}

_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", *(name for name in _FALLBACKS if name in _INSTALLED)],
    "font.size": 9,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    # Else dollar signs in a file name begin mathematics.
    "text.parse_math": False,
}
_TITLE: dict[str, Any] = {"fontweight": "bold", "fontsize": 10.5}
_TITLE_LETTERS = 78  # in a line


class Tile(NamedTuple):
    """A picture of a contact sheet, RGB uint8 (height, width, 3), with lines of text below."""

    picture: NDArray[np.uint8] | None
    """None: the text `instead` is shown."""
    lines: Sequence[str]
    """At most three. A line that is too long loses its middle."""
    instead: str = ""


def new_figure(title: str, height: float = 4) -> Figure:
    """Give an empty figure of `height` inches. The title says what the figure shows."""
    mpl.rcParams.update(_STYLE)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.suptitle(_balanced(title), x=0.01, ha="left", **_TITLE)
    return figure


def show_percent(axes: Axes) -> None:
    """Write the rates of both axes as percentages."""
    for axis in axes.xaxis, axes.yaxis:
        axis.set_major_formatter(lambda rate, _: f"{100 * rate:g} %")


def _balanced(title: str) -> str:
    """Break a title into as few lines as possible, of about the same length."""
    least = len(textwrap.wrap(title, _TITLE_LETTERS))
    tries = (textwrap.wrap(title, width) for width in range(1, _TITLE_LETTERS + 1))
    return "\n".join(next(lines for lines in tries if len(lines) == least))


def contact_sheet(title: str, sections: Mapping[str, Sequence[Tile]], columns: int = 6) -> Figure:
    """Draw sections: a heading, and rows of tiles below."""
    mpl.rcParams.update(_STYLE)
    title = _balanced(title)
    # All lengths are in inches, measured from the lower left corner.
    cell, gap, heading, text = WIDTH / columns, 0.08, 0.3, 0.44
    picture = cell - gap
    top = 0.1 + 0.2 * len(title.splitlines())
    rows = {name: -(-len(tiles) // columns) for name, tiles in sections.items()}
    height = top + sum(heading + count * (picture + text) for count in rows.values())
    figure = Figure(figsize=(WIDTH, height))
    figure.text(0.01, 1 - 0.08 / height, title, va="top", **_TITLE)
    y = height - top
    for name, tiles in sections.items():
        y -= heading
        figure.text(0.01, (y + gap) / height, shown(name, 90))
        for index, tile in enumerate(tiles):
            column = index % columns
            if column == 0:
                y -= picture + text
            x = column * cell + gap / 2
            _draw_tile(
                figure.add_axes(
                    (x / WIDTH, (y + text) / height, picture / WIDTH, picture / height)
                ),
                tile,
                letters=int(picture * 72 / _LETTER),
            )
    return figure


# The size of the text below a picture, and the width of its letters, in points.
_SMALL, _LETTER = 5.5, 3.4


def _draw_tile(axes: Axes, tile: Tile, letters: int) -> None:
    axes.set_axis_off()
    if tile.picture is None:
        axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=PALE))
        note = textwrap.fill(shown(tile.instead, 6 * letters), letters)
        axes.text(0.5, 0.5, note, ha="center", va="center", fontsize=_SMALL)
    else:
        axes.imshow(tile.picture)
    lines = "\n".join(shown(line, letters) for line in tile.lines)
    below: dict[str, Any] = {"ha": "center", "va": "top", "transform": axes.transAxes}
    axes.text(0.5, -0.03, lines, fontsize=_SMALL, **below)


def save(figure: Figure, png: Path, svg: Path, *, named: bool = False) -> None:
    """Write a figure as PNG and as SVG. The same figure gives the same bytes.

    `named`: the figure shows names, and its files say so, see NAMED.
    """
    mpl.rcParams["svg.hashsalt"] = "meanface"
    about = {"Description": NAMED} if named else {}
    for target, metadata in {png: about, svg: about | {"Date": None}}.items():
        with replacing(target) as part:
            figure.savefig(part, format=target.suffix[1:], metadata=metadata, dpi=150)


class _ForScripts(json.JSONEncoder):
    """JSON for a <script> of HTML: no string can end the script."""

    def encode(self, o: object) -> str:
        return super().encode(o).replace("<", r"\u003c")


def as_page(chart: "alt.Chart", target: Path, *, named: bool) -> None:
    """Write an Altair chart as a page of HTML that needs no network. Texts stay texts.

    `named`: as for `save`.
    """
    if named:
        chart = chart.properties(description=NAMED)
    page = chart.to_html(
        inline=True,
        json_kwds={"cls": _ForScripts},
        # The menu has no link that sends the data to an editor on the web.
        embed_options={"actions": {"export": True, "source": False, "editor": False}},
    )
    with replacing(target) as part:
        part.write_text(page, encoding="utf-8")
