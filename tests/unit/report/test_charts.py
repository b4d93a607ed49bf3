"""Where charts draw what, against places counted by hand."""

import numpy as np

from meanface.report.charts import Band, Tick, curves, histogram, powers, ticks


def test_bars_have_the_height_of_their_counts() -> None:
    values = {"few": np.array([0.0, 0.1, 0.9]), "many": np.array([1.0] * 6)}
    chart = histogram(values, bins=2, x_label="x", y_label="y", marks=[Tick(0.5, "half")])
    few, many = chart.layers
    assert few.is_area
    # The highest bar, 6, takes 95.24 % of the height, so that a bar of 1 takes 15.87 %.
    assert few.points == "0.00,100.00 0.00,68.25 50.00,68.25 50.00,84.13 100.00,84.13 100.00,100.00"
    assert many.points.split()[-2] == "100.00,4.76"
    assert chart.marks == [Tick(50.0, "half")]
    assert [tick.text for tick in chart.y] == ["0", "2", "4", "6"]


def test_shares_make_groups_of_different_size_alike() -> None:
    values = {"few": np.array([0.0, 1.0]), "many": np.array([0.0, 1.0] * 50)}
    few, many = histogram(values, bins=2, x_label="x", y_label="y", shares=True).layers
    assert few.points == many.points


def test_one_value_has_a_histogram() -> None:
    chart = histogram({"one": np.array([0.3])}, bins=10, x_label="x", y_label="y")
    assert "nan" not in chart.layers[0].points
    assert chart.x


def test_a_curve_goes_from_corner_to_corner() -> None:
    chart = curves(
        {"line": ([1, 3], [10, 20])},
        x_label="x",
        y_label="y",
        x_ticks=[Tick(1, "1"), Tick(3, "3")],
        y_ticks=[Tick(10, "10"), Tick(20, "20")],
    )
    assert chart.layers[0].points == "0.00,100.00 100.00,0.00"
    assert not chart.layers[0].is_area
    assert [tick.at for tick in chart.x] == [0, 100]


def test_ticks_are_round_numbers() -> None:
    assert [tick.text for tick in ticks(0.31, 0.62)] == ["0.4", "0.5", "0.6"]
    assert [tick.text for tick in ticks(0, 2600)] == ["0", "1,000", "2,000"]
    assert [tick.text for tick in ticks(0, 1.05, whole=True)] == ["0", "1"]
    assert ticks(10, 20)[0] == Tick(0.0, "10")
    assert powers(1, 1600) == [
        Tick(0, "1"),
        Tick(1, "10"),
        Tick(2, "100"),
        Tick(3, "1,000"),
        Tick(4, "10,000"),
    ]
    assert [tick.text for tick in powers(2e-5, 100, most=5)] == [
        *("0.000001", "0.0001", "0.01", "1", "100")
    ]


def test_a_band_goes_there_along_its_low_and_back_along_its_high_ends() -> None:
    ends = [Tick(0, "0"), Tick(1, "1")]
    band = Band("interval", [0, 1], [0, 0.25], [0.5, 1])
    labels = {"x_label": "x", "y_label": "y"}
    chart = curves({"line": ([0, 1], [0, 0.5])}, x_ticks=ends, y_ticks=ends, band=band, **labels)
    assert chart.layers[1].points == "0.00,100.00 100.00,75.00 100.00,0.00 0.00,50.00"
    assert [layer.is_band for layer in chart.layers] == [False, True]
