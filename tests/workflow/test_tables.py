"""faces.parquet as a folder, and no faces.csv: every target gives what it gives with a file."""

import shutil
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from meanface.files.digest import file_digest
from tests.runs import Run, snakemake

TARGETS = (
    "all",
    "report",
    "results/find.csv",
    "people",
    "audit",
    "verify",
    "results/comparison.csv",
)
MADE = (
    *("statistics.npz", "identities.csv", "people.csv", "audit.csv", "verification.csv"),
    *("find.csv", "comparison.csv", "comparison.json"),
)


def run(directory: Path, *targets: str, **config: object) -> Run:
    done = snakemake(directory, *targets, **{"encoder": "stub", "shards": 2} | config)
    assert done.code == 0, done.output
    return done


def test_every_target_reads_a_folder_as_it_reads_a_file(
    sample_photos: Path, tmp_path: Path
) -> None:
    query = sample_photos / "Grace_Hopper/Grace_Hopper_0001.jpg"
    other = run(tmp_path / "other", file_rows=9).results
    settings = {"photos": sample_photos, "query": query, "other": other, "pictures": "false"}
    file = run(tmp_path / "file", *TARGETS, **settings).results
    parted = {**settings, "file_rows": 7, "faces_csv": "false"}
    folder = run(tmp_path / "folder", *TARGETS, **parted).results
    for name in MADE:
        assert (folder / name).read_bytes() == (file / name).read_bytes(), name
    faces = pd.read_csv(file / "faces.csv", keep_default_na=False, dtype={"shard": str})
    for one in (pd.read_parquet(folder / "faces.parquet"), pd.read_parquet(file / "faces.parquet")):
        pd.testing.assert_frame_equal(one, faces)
    assert len(faces) > 21
    assert not (folder / "faces.csv").exists()
    sizes = [len(pd.read_parquet(part)) for part in sorted((folder / "faces.parquet").glob("*.p*"))]
    assert sizes[:3] == [7, 7, 7]
    paths = duckdb.read_parquet(str(folder / "faces.parquet")).project("path").fetchall()
    assert [path for (path,) in paths] == faces["path"].tolist()


def test_the_shape_changes_with_the_setting_and_what_was_altered_is_made_again(
    tmp_path: Path,
) -> None:
    results = run(tmp_path).results
    table = results / "faces.parquet"
    before = pd.read_parquet(table)
    folder = {"file_rows": 10, "faces_csv": "false"}
    assert run(tmp_path, **folder).jobs["merge"] == 1
    assert not (results / "faces.csv").exists()
    parts = sorted(table.glob("part-*.parquet"))
    assert len(parts) > 2
    made = file_digest(table)
    assert not run(tmp_path, **folder).jobs

    pq.write_table(pq.read_table(parts[1])[:3], parts[1])
    assert run(tmp_path, **folder).jobs["merge"] == 1
    assert file_digest(table) == made
    parts[1].unlink()
    assert run(tmp_path, **folder).jobs["merge"] == 1
    assert file_digest(table) == made

    again = run(tmp_path)
    assert again.jobs["merge"] == 1
    pd.testing.assert_frame_equal(pd.read_parquet(table), before)
    assert table.is_file()
    assert (results / "faces.csv").exists()
    assert not run(tmp_path).jobs
    shutil.rmtree(tmp_path / ".snakemake")  # as in a new checkout
    assert run(tmp_path, **folder).jobs["merge"] == 1
    assert table.is_dir()
