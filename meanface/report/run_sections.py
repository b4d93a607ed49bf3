"""Sections of the report on the run: verification, speed, and what the results were made of."""

import json
from dataclasses import fields
from typing import Any

import numpy as np

from meanface.engine.settings import EngineSettings
from meanface.engine.weights import LICENCES
from meanface.report.charts import Tick, curves, powers
from meanface.report.results import Results
from meanface.wording import number_of

Section = dict[str, Any]

JOBS = 10  # encode jobs listed


def verification_section(results: Results) -> Section | None:
    """Show how well the distances tell people apart, where pairs were scored."""
    if results.accuracy is None:
        return None
    scored, roc = results.accuracy
    false_rate, true_rate = roc["false_positive_rate"], roc["true_positive_rate"]
    # A log scale has no 0: a rate of 0 is drawn at half the smallest other rate.
    left = float(false_rate[false_rate > 0].min()) / 2
    bottom = float(np.floor(true_rate[false_rate > 0].min() * 10) / 10)
    return {
        "title": f"{100 * scored['accuracy']:.1f} % of the pairs are called correctly",
        "accuracy": scored,
        "folds": len(scored["folds"]),
        "chart": curves(
            {"pairs of one person found": (np.log10(false_rate.clip(lower=left)), true_rate)},
            x_label="pairs of two people called one (log scale)",
            y_label="pairs of one person called one",
            x_ticks=powers(left, 1),
            y_ticks=[
                Tick(float(at), f"{100 * at:.0f} %") for at in np.linspace(bottom, 1, 6).round(3)
            ],
        ),
    }


def speed_section(results: Results) -> Section | None:
    """Compare the encode jobs; None for fewer than two."""
    jobs = results.jobs[results.jobs["photos"] > 0]
    if len(jobs) < 2:
        return None
    rates = jobs["photos"] / jobs["seconds"]
    slowest = rates.nsmallest(JOBS)
    return {
        "title": f"{rates.median():,.1f} photos per second in the median encode job,"
        f" {rates.min():,.1f} in the slowest",
        # The name of a shard begins with that of its source.
        "jobs": [
            (shard if results.paths else f"shard {job + 1}", photos, seconds, photos / seconds)
            for job, shard, photos, seconds in jobs.loc[slowest.index].itertuples(name=None)
        ],
        "left_out": len(jobs) - len(slowest),
    }


def provenance_section(results: Results) -> Section:
    """Say what the results were made of. Without paths, only what cannot hold a name."""
    summary = results.summary
    config = summary["config"]
    if not results.paths:
        safe = {
            "deduplicate",
            "pictures",
            "paths",
            *(field.name for field in fields(EngineSettings)),
        }
        config = {key: value for key, value in config.items() if key in safe}
    detectors = summary["faces_by_detector"]
    return {
        "title": f"Made by meanface {summary['versions']['meanface']}"
        f" of {number_of(len(summary['sources']), 'source')}",
        "fingerprint": summary["fingerprint"],
        "versions": summary["versions"],
        "detectors": [
            (name, count, 100 * count / summary["faces"]) for name, count in detectors.items()
        ],
        "models": [
            (name, sha256, LICENCES.get(name, "")) for name, sha256 in summary["models"].items()
        ],
        "sources": [
            {key: source.get(key) for key in ("name", "kind", "bytes", "sha256")}
            for source in summary["sources"].values()
        ]
        if results.paths
        else [],
        "config": {key: json.dumps(value, ensure_ascii=False) for key, value in config.items()},
    }
