"""The numbers at the beginning of the report."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from meanface.results.principal_components import principal_components
from meanface.results.statistics import Statistics


def overview(
    summary: Mapping[str, Any],
    statistics: Statistics,
    identities: "pd.Series[str]",
    distances: "pd.Series[float]",
    *,
    paths: bool,
) -> dict[str, object]:
    """Give the numbers of a run by the names under which the report shows them.

    `summary` is summary.json, `identities` has each person once, "" for the photos in no folder,
    `distances` are those of the faces to the mean. Without `paths`, the sources have no name.
    """
    scatter = {}
    if statistics.count > 1:  # a single face has none
        _, shares = principal_components(statistics.covariance)
        scatter = {
            "standard error of the mean, a distance": round(statistics.error_of_mean, 4),
            "share of the variance in two directions, %": round(100 * float(shares[:2].sum()), 1),
        }
    if statistics.error_of_mean_by_person > 0:  # nan for one person
        name = "standard error of the mean by person, a distance"
        scatter[name] = round(statistics.error_of_mean_by_person, 4)
    per_second = summary["photos_per_second"]
    speed = {"photos per second and encode job": round(per_second, 1)} if per_second else {}
    names = ", ".join(source["name"] for source in summary["sources"].values())
    return {
        **({"source": names} if paths else {}),
        "photos": summary["photos"],
        "encoded": summary["encoded"],
        "failed": summary["failed"],
        **{f"failed: {name}": number for name, number in summary["failed_by_reason"].items()},
        "faces in the mean": statistics.count,
        **{
            f"faces found by {name}": number
            for name, number in summary["faces_by_detector"].items()
        },
        "people": int((identities != "").sum()),
        "length of the mean": round(float(np.linalg.norm(statistics.mean)), 4),
        "median distance of a face to the mean": round(float(distances.median()), 4),
        **scatter,
        **speed,
        "meanface": summary["versions"]["meanface"],
    }
