"""The map of embeddings: each face a point in the two directions of most variance."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.report.selection import sample_of

OTHERS = "(others)"


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

    Row i of `embeddings` (n, d) belongs to row i of the table `faces`; x and y are measured from
    `mean` (d,) along the first two columns of `components` (d, d). `names` gives the persons to
    tell apart, by their identity; all others are OTHERS. They come first, to be drawn below.
    """
    rows = sample_of(faces["path"].tolist(), most)
    places = (embeddings[rows] - mean) @ components[:, :2]
    chosen = faces.iloc[rows][["path", "identity", "distance"]]
    points = chosen.assign(
        x=places[:, 0].round(4),
        y=places[:, 1].round(4),
        person=chosen["identity"].map(names).fillna(OTHERS),
    )
    return points.sort_values("person", key=lambda person: person != OTHERS, kind="stable")
