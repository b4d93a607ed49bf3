"""The points of the map, against products made by hand."""

import numpy as np
import pandas as pd

from meanface.report.embedding_map import OTHERS, map_points
from meanface.report.selection import sample_of

FACES = pd.DataFrame(
    {
        "path": [f"{number}.jpg" for number in range(50)],
        "identity": ["Ann", "Bob", "", "Cid", "Ann"] * 10,
        "distance": np.arange(50) / 10,
    }
)
EMBEDDINGS = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
MEAN = np.array([1.0, 2.0, 3.0])
COMPONENTS = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
NAMES = {"Ann": "A.", "Cid": "C."}


def test_a_face_lies_where_the_first_two_components_put_it() -> None:
    points = map_points(FACES, EMBEDDINGS, MEAN, COMPONENTS, most=99, names=NAMES)
    assert len(points) == 50
    wide = EMBEDDINGS[points.index].astype(float)
    assert np.abs(points["x"] - (wide[:, 1] - 2)).max() < 6e-5
    assert np.abs(points["y"] - (wide[:, 0] - 1)).max() < 6e-5
    faces = FACES.loc[points.index]
    assert points["path"].tolist() == faces["path"].tolist()
    assert points["person"].tolist() == [NAMES.get(one, OTHERS) for one in faces["identity"]]


def test_the_others_come_first_and_few_points_are_a_sample() -> None:
    points = map_points(FACES, EMBEDDINGS, MEAN, COMPONENTS, most=20, names=NAMES)
    assert sorted(points.index) == sample_of(FACES["path"].tolist(), 20).tolist()
    others = (points["person"] == OTHERS).tolist()
    assert others == sorted(others, reverse=True)
    assert 0 < sum(others) < 20
