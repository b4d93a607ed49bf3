"""The section of the report on the error rates that the target verify measured."""

import math
from typing import Any

import pandas as pd

from meanface.report.charts import Band, Chart, curves, powers
from meanface.report.results import Results, percent

DRAWN = 4  # groups with a curve
GROUPS = 50  # groups in the table


def error_rates_section(results: Results) -> dict[str, Any] | None:
    """Show the error rates of all pairs of named photos; None where verify did not run."""
    if results.error_rates is None:
        return None
    table, summary = results.error_rates.table, results.error_rates.summary
    known = [at for at in summary["at_fmr"] if at["fnmr"] is not None]
    title = "Too few pairs to see a false match rate of 1 in 1,000"
    if known:
        title = (
            f"At 1 false match in {1 / known[0]['target']:,.0f},"
            f" {percent(known[0]['fnmr'], 1)} of the pairs of one person are missed"
        )
    groups = summary["groups"]
    # With `paths: false`, groups get numbers: a group's name may be a person's name.
    called = {name: name if results.paths else f"group {n}" for n, name in enumerate(groups, 1)}
    level = f"{100 * summary['interval']:.0f} %"
    enrol = summary["failure_to_enrol_rate"]
    return {
        "title": title,
        "chart": _det(table, dict(list(called.items())[:DRAWN]), level),
        "drawn_groups": min(len(groups), DRAWN),
        "pairs": (summary["mated_pairs"], summary["nonmated_pairs"]),
        "level": level,
        "at_fmr": [
            {
                "rate": f"1 in {1 / at['target']:,.0f}",
                "threshold": at["threshold"],
                "matches": at["false_matches"],
                "missed": None if at["fnmr"] is None else percent(at["fnmr"], 1),
                "interval": None
                if at["fnmr"] is None
                else f"{percent(at['fnmr_low'], 1)} to {percent(at['fnmr_high'], 1)}",
            }
            for at in summary["at_fmr"]
        ],
        "equal": _rate(summary["equal_error_rate"]),
        "failed": summary["failed"],
        "photos": summary["photos"],
        "enrol": [percent(enrol[name], 1) for name in ("rate", "low", "high")],
        "groups": [_group(called[name], groups[name]) for name in list(groups)[:GROUPS]],
        "groups_left_out": max(len(groups) - GROUPS, 0),
    }


def _det(table: pd.DataFrame, groups: dict[str, str], level: str) -> Chart | None:
    """Draw FNMR over FMR on log scales; None where no threshold mistakes anybody."""
    seen = table[(table["fmr"] > 0) & (table["fnmr"] > 0)]
    everyone = seen[seen["group"] == ""]
    if len(everyone) < 2:
        return None
    curve_of = {"all photos": everyone} | {
        text: rows for name, text in groups.items() if len(rows := seen[seen["group"] == name]) > 1
    }
    left, lowest = (
        min(float(rows[rate].min()) for rows in curve_of.values()) for rate in ("fmr", "fnmr")
    )

    def log(rates: "pd.Series[float]") -> "pd.Series[float]":
        return (100 * rates).map(math.log10)

    return curves(
        {text: (log(rows["fmr"]), log(rows["fnmr"])) for text, rows in curve_of.items()},
        band=Band(
            f"interval of {level}, by person",
            log(everyone["fmr"]),
            # A log scale has no 0, which the lower end may be.
            log(everyone["fnmr_low"].clip(lower=lowest / 2)),
            log(everyone["fnmr_high"]),
        ),
        x_label="false match rate, %: two persons match (log scale)",
        y_label="false non-match rate, %: one person does not match (log scale)",
        x_ticks=powers(100 * left, 100, most=5),
        y_ticks=powers(50 * lowest, 100, most=5),
    )


def _group(name: str, found: dict[str, Any]) -> dict[str, Any]:
    own, everyone = found["at_fmr"][0], found["at_threshold_of_everyone"][:1]
    return {
        "name": name,
        "photos": found["photos"],
        "persons": found["persons"],
        "enrol": percent(found["failure_to_enrol_rate"]["rate"], 1),
        "own": _rate(own["fnmr"]),
        "fmr": _rate(everyone[0]["fmr"]) if everyone else None,
        "fnmr": _rate(everyone[0]["fnmr"]) if everyone else None,
    }


def _rate(rate: float | None) -> str | None:
    return None if rate is None else percent(rate, 1)
