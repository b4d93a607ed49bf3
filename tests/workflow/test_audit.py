"""The target audit: planted errors are found, and nothing is done twice."""

import json
import shutil
from pathlib import Path

from PIL import Image, ImageOps

from meanface.files.schemas import AUDIT
from meanface.files.tables import read_table
from tests.runs import Run, snakemake


def audited(directory: Path, **config: object) -> Run:
    run = snakemake(directory, "audit", **config)
    assert run.code == 0, run.output
    return run


def test_audit_the_sample_with_a_wrong_name_and_copies(sample_photos: Path, tmp_path: Path) -> None:
    photos = Path(shutil.copytree(sample_photos, tmp_path / "photos"))
    shutil.move(photos / "Grace_Hopper/Grace_Hopper_0002.jpg", photos / "Eileen_Collins/wrong.jpg")
    shutil.copy(photos / "Grace_Hopper/Grace_Hopper_0001.jpg", photos / "Grace_Hopper/same.jpg")
    shutil.copy(photos / "Eileen_Collins/Eileen_Collins_0001.jpg", photos / "Grace_Hopper/two.jpg")
    with Image.open(photos / "Grace_Hopper/Grace_Hopper_0001.jpg") as photo:
        ImageOps.mirror(photo.convert("RGB")).save(photos / "Grace_Hopper/mirrored.jpg", quality=90)
    run = audited(tmp_path / "run", photos=photos)
    table = read_table(run.results / "audit.csv", AUDIT)
    labels = table[table["kind"] == "other_identity"].set_index("path")
    assert labels.loc["Eileen_Collins/wrong.jpg", "other_identity"] == "Grace_Hopper"
    assert labels.loc["Grace_Hopper/two.jpg", "other_identity"] == "Eileen_Collins"
    copies = table[table["kind"] == "near_duplicate"]
    pairs = {*zip(copies["path"], copies["other_path"], strict=True)}
    assert ("Grace_Hopper/Grace_Hopper_0001.jpg", "Grace_Hopper/mirrored.jpg") in pairs
    assert "Grace_Hopper/same.jpg" not in {path for pair in pairs for path in pair}
    counts = json.loads((run.results / "audit.json").read_text())["findings"]
    assert counts == {kind: (table["kind"] == kind).sum() for kind in counts}
    for _, ranks in table.groupby("kind")["rank"]:
        assert ranks.tolist() == [*range(1, len(ranks) + 1)]
    assert not audited(tmp_path / "run", photos=photos).jobs
    other = audited(tmp_path / "other", photos=photos, shards=2, threads=2)
    assert (other.results / "audit.csv").read_bytes() == (run.results / "audit.csv").read_bytes()


def test_without_pictures_no_pixel_is_compared(sample_photos: Path, tmp_path: Path) -> None:
    run = audited(tmp_path / "run", photos=sample_photos, pictures="false")
    assert "near_duplicate" not in json.loads((run.results / "audit.json").read_text())["findings"]
    assert not [*run.results.glob("shards/*.tar")]
