"""Charts of the report: what is drawn where. Places are percent of the plot."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Tick(NamedTuple):
    """A place on an axis, in percent, and its text."""

    at: float
    text: str


class Layer(NamedTuple):
    """A curve, or an area if `is_area`: its name, and its points as SVG has them, y downward.

    A band is a pale area around the first curve.
    """

    name: str
    points: str
    is_area: bool
    is_band: bool = False


class Band(NamedTuple):
    """An area between two curves over the same x."""

    name: str
    x: ArrayLike
    low: ArrayLike
    high: ArrayLike


class Chart(NamedTuple):
    """Layers on two axes. A mark is a line from the bottom to the top."""

    layers: Sequence[Layer]
    x: Sequence[Tick]
    y: Sequence[Tick]
    x_label: str
    y_label: str
    marks: Sequence[Tick] = ()


def histogram(
    groups: dict[str, NDArray[np.float64]],
    *,
    bins: int,
    x_label: str,
    y_label: str,
    marks: Sequence[Tick] = (),
    shares: bool = False,
) -> Chart:
    """Give the chart of one histogram for each group of values, all with the same bins.

    The marks are in the unit of the values. With `shares`, a bar is the share of its group in
    percent, so that groups of different size can be compared. At least one value is given.
    """
    values = np.concatenate(list(groups.values()))
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1
    edges = np.linspace(low, high, bins + 1)
    heights = {}
    for name, group in groups.items():
        counts = np.histogram(group, edges)[0].astype(float)
        heights[name] = 100 * counts / max(len(group), 1) if shares else counts
    top = max(float(bars.max()) for bars in heights.values()) * 1.05
    return Chart(
        layers=[
            Layer(
                name,
                _points(np.repeat(edges, 2), [0, *np.repeat(bars, 2), 0], low, high, top),
                True,
            )
            for name, bars in heights.items()
        ],
        x=ticks(low, high),
        y=ticks(0, top, whole=not shares),
        x_label=x_label,
        y_label=y_label,
        marks=[Tick(_percent(mark.at, low, high), mark.text) for mark in marks],
    )


def curves(
    lines: dict[str, tuple[ArrayLike, ArrayLike]],
    *,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[Tick],
    y_ticks: Sequence[Tick],
    band: Band | None = None,
) -> Chart:
    """Give the chart of curves (x, y), whose values and ticks share the unit of their axis.

    The `band` belongs to the first curve. The axes reach from the first tick to the last one.
    """
    low, high = x_ticks[0].at, x_ticks[-1].at
    bottom, top = y_ticks[0].at, y_ticks[-1].at

    def points(x: ArrayLike, y: ArrayLike) -> str:
        return _points(x, np.asarray(y) - bottom, low, high, top - bottom)

    layers = [Layer(name, points(x, y), False) for name, (x, y) in lines.items()]
    if band:
        around = [np.asarray(band.x), np.asarray(band.x)[::-1]]
        edge = [np.asarray(band.low), np.asarray(band.high)[::-1]]
        drawn = points(np.concatenate(around), np.concatenate(edge))
        layers.append(Layer(band.name, drawn, is_area=True, is_band=True))
    return Chart(
        layers=layers,
        x=[Tick(_percent(at, low, high), text) for at, text in x_ticks],
        y=[Tick(_percent(at, bottom, top), text) for at, text in y_ticks],
        x_label=x_label,
        y_label=y_label,
    )


def ticks(low: float, high: float, *, most: int = 5, whole: bool = False) -> list[Tick]:
    """Give at most about `most` round numbers from `low` to `high` (percent of the way)."""
    step = round_step((high - low) / most)
    step = max(step, 1.0) if whole else step
    digits = max(0, -math.floor(math.log10(step)))
    numbers = np.arange(math.ceil(low / step), math.floor(high / step + 1e-9) + 1) * step
    return [Tick(_percent(one, low, high), f"{one + 0.0:,.{digits}f}") for one in numbers.tolist()]


def powers(low: float, high: float, *, most: int = 9) -> list[Tick]:
    """Give ticks of a log scale: the powers of ten around `low` and `high`, placed at their log.

    More than `most` are thinned out, and then begin at a lower power.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    step = math.ceil((last - first) / (most - 1))
    first = last - step * math.ceil((last - first) / step)
    return [Tick(at, f"{10.0**at:,.{max(-at, 0)}f}") for at in range(first, last + 1, step)]


def round_step(rough: float) -> float:
    """Give the smallest of 1, 2 or 5 times a power of ten that is not below `rough` (> 0)."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * by for by in (1, 2, 5, 10) if power * by >= rough * 0.999)


def _percent(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 2)


def _points(x: ArrayLike, y: ArrayLike, low: float, high: float, top: float) -> str:
    across = 100 * (np.asarray(x, dtype=float) - low) / (high - low)
    down = 100 - 100 * np.asarray(y, dtype=float) / (top or 1)
    return " ".join(f"{a:.2f},{b:.2f}" for a, b in zip(across.tolist(), down.tolist(), strict=True))
