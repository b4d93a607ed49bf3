"""An encode job with too little memory, in a pod: as on one machine, a photo fails and says so."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.cluster.kubernetes_cluster import cluster
from tests.cluster.test_kubernetes import MERGED, run_volume

pytestmark = pytest.mark.needs("rsync")


def test_an_encode_pod_may_have_little_memory(tmp_path: Path, sample_photos: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(sample_photos / "Grace_Hopper/Grace_Hopper_0002.jpg", photos)
    Image.new("RGB", (7000, 7000)).save(photos / "large.png")
    with cluster(tmp_path) as here:
        little = "--set-resources=encode:mem_mb=500"
        done = run_volume(here, MERGED, little, photos=str(photos), shards=1)
        assert done.code == 0, done.output
        assert here.rules == ["encode", "merge"]
    results = tmp_path / "data/results"
    _, failure = (results / "failures.csv").read_text().splitlines()
    assert failure == "large.png,out_of_memory,more than 200 MB,photos-0000"
    _, face = (results / "faces.csv").read_text().splitlines()
    assert face.startswith("Grace_Hopper_0002.jpg,")
