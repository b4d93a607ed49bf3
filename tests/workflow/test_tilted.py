"""A run of photos with tilted faces: no embedding is that of another person."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tests.runs import snakemake

TURNS = (0, 60, 90, 180)
PERSONS = {
    "Collins": "Eileen_Collins/Eileen_Collins_0001.jpg",
    "Hopper": "Grace_Hopper/Grace_Hopper_0001.jpg",
}


def test_tilted_faces_are_upright_in_the_results_or_fail(
    sample_photos: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    for person, name in PERSONS.items():
        image = Image.open(sample_photos / name).convert("RGB")
        (photos / person).mkdir(parents=True)
        for turn in TURNS:
            image.rotate(turn, expand=True).save(photos / f"{person}/{turn}.png")
        other = np.asarray(image)[::-1]
        Image.blend(image, Image.fromarray(other), 0.5).save(photos / f"{person}/blended.png")
    run = snakemake(tmp_path / "run", photos=photos, shards=1)
    assert run.code == 0, run.output
    faces = pd.read_csv(run.results / "faces.csv", index_col="path")
    failures = pd.read_csv(run.results / "failures.csv", index_col="path")
    embeddings = dict(
        zip(faces.index, np.load(run.results / "embeddings.npy", allow_pickle=False), strict=True)
    )
    for person in PERSONS:
        assert failures.loc[f"{person}/blended.png", "reason"] == "tilted_face"
        upright = f"{person}/0.png"
        assert {upright, f"{person}/60.png", f"{person}/90.png"} <= set(faces.index)
        for path in faces.index[faces["identity"] == person]:
            turn = int(Path(path).stem)
            assert np.linalg.norm(embeddings[path] - embeddings[upright]) < 0.4
            off = faces.loc[path, "angle"] - faces.loc[upright, "angle"] - turn
            assert abs((off + 180) % 360 - 180) < 15
