"""The map of embeddings: each face a point in the two directions of most variance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.files.arrays import taken
from meanface.report.charts import round_step
from meanface.report.results import Results
from meanface.report.selection import sample_of
from meanface.results.principal_components import principal_components

OTHERS = "(others)"
POINTS = 2_000  # on the map of the report
MARKED = 6  # people with a colour there
_SIDE = 600  # of this map, in units of its SVG


def map_points(
    faces: pd.DataFrame,
    embeddings: NDArray[np.float32],
    mean: NDArray[np.float64],
    components: NDArray[np.float64],
    *,
    most: int,
    names: Mapping[str, str],
) -> pd.DataFrame:
    """Give at most `most` points: path, identity, distance, x, y and person of a face.

    The index of the table `faces` has the rows' numbers in `embeddings` (n, d). x and y are
    measured from `mean` (d,) along the first two columns of `components` (d, d). `names` gives the
    persons to tell apart, by their identity; all others are OTHERS. They come first, to be drawn
    below.
    """
    rows = sample_of(faces["path"].tolist(), most)
    places = (taken(embeddings, faces.index.to_numpy()[rows]) - mean) @ components[:, :2]
    chosen = faces.iloc[rows][["path", "identity", "distance"]]
    points = chosen.assign(
        x=places[:, 0].round(4),
        y=places[:, 1].round(4),
        person=[names.get(identity, OTHERS) for identity in chosen["identity"]],
    )
    return points.sort_values("person", key=lambda person: person != OTHERS, kind="stable")


def map_section(results: Results) -> dict[str, Any]:
    """Place the faces by the two directions of most variance, to the same scale."""
    names = results.names()
    counts = results.identities.set_index("identity")["photos"]
    marked = [one for one in names.people if counts[one] > 1][:MARKED]
    labels = {person: names.person(person) for person in marked}
    components, shares = principal_components(np.nan_to_num(results.statistics.covariance))
    points = map_points(
        results.faces,
        results.embeddings,
        results.statistics.mean,
        components,
        most=POINTS,
        names=labels,
    )
    low, high = points[["x", "y"]].min(), points[["x", "y"]].max()
    span = float((high - low).max()) or 1.0
    scale, edge = (_SIDE - 40) / span, 20
    width, height = ((high - low) * scale + 2 * edge).clip(lower=200).round().tolist()
    step = round_step(span / 6)
    middle = (high + low) / 2
    across = (width / 2 + (points["x"] - middle["x"]) * scale).round(1)
    down = (height / 2 - (points["y"] - middle["y"]) * scale).round(1)
    kinds = {OTHERS: 0} | {label: kind for kind, label in enumerate(labels.values(), 1)}
    share = 100 * float(shares[:2].sum())
    title = f"The two directions in which faces differ most hold {share:.0f} % of the variance"
    if not share:  # one face, or copies of one face
        title = "Every face has the same place"
    return {
        "title": title,
        "width": width,
        "height": height,
        "step": step,
        "across": [round((i * step - middle["x"]) * scale + width / 2, 1) for i in range(-99, 99)],
        "down": [round(height / 2 - (i * step - middle["y"]) * scale, 1) for i in range(-99, 99)],
        "shares": [100 * float(share) for share in shares[:2]],
        "points": list(
            zip(across.tolist(), down.tolist(), points["person"].map(kinds).tolist(), strict=True)
        ),
        "rows": points.index.tolist(),
        "faces": [
            {
                "name": names.photo(path, row),
                "person": names.person(identity),
                "distance": round(distance, 3),
            }
            for row, path, identity, distance in zip(
                points.index.tolist(),
                points["path"],
                points["identity"],
                points["distance"].tolist(),
                strict=True,
            )
        ],
        "people": list(kinds),
        "total": results.summary["faces"],
    }
