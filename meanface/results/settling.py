"""How the mean of embeddings settles as more of them are added."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from meanface.files.arrays import taken
from meanface.results.statistics import Statistics


def settling_curve(
    embeddings: NDArray[np.float32],
    rows: NDArray[np.intp],
    statistics: Statistics,
    *,
    most: int,
    points: int,
) -> pd.DataFrame:
    """Give the table SETTLING: how far the mean of k faces is from the mean of all, and by chance.

    `statistics` are those of the embeddings (n, d) that count. `rows` are all of these, or some
    drawn at random. At most `most` rows are added up, in an order drawn at random, the same every
    time. The table has at most `points` rows, whose k are spaced evenly on a log scale.
    """
    order = rows[np.random.default_rng(0).permutation(len(rows))[:most]]
    counts = np.unique(np.geomspace(1, len(order), points).round().astype(np.int64))
    covariance = np.nan_to_num(statistics.covariance)  # of a single face it is nan
    return pd.DataFrame(
        {
            "faces": counts,
            "distance": settling(taken(embeddings, order), statistics.mean, counts.tolist()),
            "chance": chance(covariance, statistics.count, counts),
        }
    )


def settling(
    embeddings: NDArray[np.float32], mean: NDArray[np.float64], counts: Sequence[int]
) -> NDArray[np.float64]:
    """Give the distance of the mean of the first k embeddings to `mean` (d,), for k in counts.

    `embeddings` have the shape (n, d). Distances are Euclidean. `counts` are ascending, 1 to n.
    """
    starts = np.array([0, *counts[:-1]])
    embeddings = embeddings[: counts[-1]]
    sums = np.add.reduceat(embeddings, starts, axis=0, dtype=np.float64).cumsum(axis=0)
    return np.asarray(np.linalg.norm(sums / np.array(counts)[:, None] - mean, axis=1))


def chance(
    covariance: NDArray[np.float64], count: int, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the expected distance of the mean of k photos to the mean of all, for k in counts.

    k of `count` photos are drawn without replacement. The distance is the root mean square over all
    draws: W. G. Cochran, "Sampling Techniques", 3rd ed., theorem 2.2, summed over the dimensions.
    `covariance` (d, d) is the sample covariance (divided by count - 1).
    """
    variance = np.trace(covariance)
    return np.asarray(np.sqrt(variance * np.maximum(1 / counts - 1 / count, 0)))
