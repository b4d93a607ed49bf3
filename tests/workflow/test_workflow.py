"""The workflow from end to end, by real `snakemake` runs on the bundled sample."""

import csv
import hashlib
import json
import math
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from meanface.shards.layout import shard_of
from meanface.shards.manifest import read_manifest
from tests.runs import ROOT, Run, nest_folders, outcome, snakemake

SAMPLE = ROOT / "sample/sample.tar.gz"
FAST = {"detectors": "[hog@0]"}
STUB = {"encoder": "stub"}  # where it does not matter what the photos show


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = snakemake(tmp_path_factory.mktemp("sample"))
    assert run.code == 0, run.output
    return run


def test_every_photo_of_the_sample_ends_as_expected(sample_run: Run) -> None:
    with (ROOT / "sample/expected.csv").open(newline="") as stream:
        expected = {row["path"]: row["outcome"] for row in csv.DictReader(stream)}
    faces = pd.read_csv(sample_run.results / "faces.csv", keep_default_na=False)
    failures = pd.read_csv(sample_run.results / "failures.csv", keep_default_na=False)
    outcome = dict.fromkeys(faces["path"], "encoded")
    outcome |= dict(zip(failures["path"], failures["reason"], strict=True))
    assert outcome == expected
    assert len(faces) + len(failures) == len(expected)


def test_the_results_keep_their_contract(sample_run: Run) -> None:
    results = sample_run.results
    mean = np.load(results / "mean.npy", allow_pickle=False)
    embeddings = np.load(results / "embeddings.npy", allow_pickle=False)
    faces = pd.read_csv(results / "faces.csv", keep_default_na=False, dtype={"shard": str})
    failures = pd.read_csv(results / "failures.csv", keep_default_na=False)
    summary = json.loads((results / "summary.json").read_text())
    assert (mean.dtype, mean.shape) == (np.float64, (128,))
    assert (embeddings.dtype, embeddings.shape) == (np.float32, (len(faces), 128))
    exact = [math.fsum(column) / len(faces) for column in embeddings.astype(float).T]
    assert mean.tolist() == exact
    columns = "path identity faces left top right bottom score detector shard distance duplicate_of"
    assert faces.columns.tolist() == [*columns.split(), "angle"]
    assert failures.columns.tolist() == ["path", "reason", "detail", "shard"]
    assert faces["path"].tolist() == sorted(faces["path"])
    assert failures["path"].tolist() == sorted(failures["path"])
    assert set(faces["identity"]) == {"Both", "Cameraman", "Eileen_Collins", "Grace_Hopper"}
    assert faces["shard"].tolist() == [f"photos-{shard_of(path, 4):04d}" for path in faces["path"]]
    assert summary["photos"] == summary["encoded"] + summary["failed"]
    assert (summary["encoded"], summary["failed"]) == (len(faces), len(failures))
    assert summary["failed_by_reason"] == failures["reason"].value_counts().to_dict()
    assert summary["skipped"] == {"ignored": 2, "not_a_photo": 1}
    assert summary["config"]["face"] == "central"
    assert (sample_run.results / "sources/photos.json").exists()


def test_the_end_of_a_run_says_what_came_out(sample_run: Run) -> None:
    assert "encoded  23" in sample_run.output
    assert "no_face 3" in sample_run.output
    assert f"why: {sample_run.results.resolve()}/failures.csv\n     new  30, and 0 reused\n" in (
        sample_run.output
    )
    assert str(sample_run.results) in sample_run.output


def test_the_tutorial_names_the_distance_of_the_sample(sample_run: Run) -> None:
    people = pd.read_csv(sample_run.results / "identities.csv").set_index("identity")
    means = pd.DataFrame(np.load(sample_run.results / "identities.npy"), index=people.index)
    distance = np.linalg.norm(means.loc["Eileen_Collins"] - means.loc["Grace_Hopper"])
    tutorial = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    assert f"The distance between the two people is {distance:.2f}." in tutorial


def test_weights_that_exclude_commercial_use_are_used_and_named_only_when_asked_for(
    sample_run: Run, sample_photos: Path, tmp_path: Path
) -> None:
    assert "licence" not in sample_run.output
    assert not list(sample_run.results.glob("models/landmarks68*"))
    photos = sample_photos / "Grace_Hopper"
    run = snakemake(tmp_path / "run", photos=photos, landmarks=68, shards=1, **FAST)
    assert run.code == 0, run.output
    told = re.findall(r"^(.*)landmarks: 68 uses .* excludes commercial use", run.output, re.M)
    assert sorted(told) == [" licence  ", "meanface: "]


def test_the_encoder_in_integers_gives_nearly_the_same(
    sample_run: Run, sample_photos: Path, tmp_path: Path
) -> None:
    preset = ("--configfile", str(ROOT / "config/fast.yaml"))
    run = snakemake(tmp_path / "run", *preset, photos=sample_photos, cache="null")
    assert run.code == 0, run.output
    assert "    int8  embeddings differ from those of float32" in run.output
    assert "int8" not in sample_run.output
    assert not (run.results / "models/encoder.onnx").exists()
    ours, theirs = (
        np.load(one.results / "embeddings.npy", allow_pickle=False) for one in (run, sample_run)
    )
    errors = np.linalg.norm(ours - theirs, axis=1)
    assert 0.005 < np.median(errors) < 0.04 and errors.max() < 0.07
    refused = snakemake(tmp_path / "gpu", *preset, photos=sample_photos, device="cuda")
    assert refused.code == 1
    assert "meanface: config: device: cuda finds faces with the CNN detector" in refused.output


def test_nothing_changed_runs_nothing(sample_run: Run) -> None:
    again = snakemake(sample_run.results.parent)
    assert again.code == 0, again.output
    assert not again.jobs


@pytest.mark.parametrize("shards", [1, 7])
def test_the_mean_is_the_same_to_the_last_bit(
    sample_run: Run, sample_photos: Path, tmp_path: Path, shards: int
) -> None:
    source = sample_photos.parent if shards == 7 else SAMPLE
    run = snakemake(tmp_path, photos=source, shards=shards, batch=shards)
    assert run.code == 0, run.output
    assert run.jobs["encode"] == shards
    for name in ("mean.npy", "embeddings.npy"):
        assert (run.results / name).read_bytes() == (sample_run.results / name).read_bytes()


def test_a_source_with_many_shards_is_divided_first(tmp_path: Path) -> None:
    run = snakemake(tmp_path, "--until", "plan", photos=SAMPLE, shards=257)
    assert run.code == 0, run.output
    assert (run.jobs["divide"], run.jobs["shard"], run.jobs["plan"]) == (1, 9, 1)
    assert [path.name for path in (run.results / "parts").iterdir()] == ["photos.json"]
    manifests = sorted((run.results / "shards").glob("*.csv"))
    assert [path.stem for path in manifests] == [
        f"photos-{part}{number:03}" for part in range(9) for number in range(29)
    ]
    with (ROOT / "sample/expected.csv").open(newline="") as stream:
        expected = {row["path"] for row in csv.DictReader(stream)}
    rows = [row for manifest in manifests for row in read_manifest(manifest)]
    assert len(rows) == len(expected)
    assert {row.path for row in rows} == expected


@pytest.mark.slow
def test_the_results_are_the_same_where_the_source_is_divided(
    sample_photos: Path, tmp_path: Path
) -> None:
    """There too, only the shard of a changed photo is encoded again."""
    folder = shutil.copytree(sample_photos, tmp_path / "photos/sample")
    few = snakemake(tmp_path / "few", photos=folder.parent, shards=1, **STUB)
    many = snakemake(tmp_path / "many", photos=folder.parent, shards=257, **STUB)
    for run in (few, many):
        assert run.code == 0, run.output
    assert many.jobs["encode"] == 261
    for name in ("mean.npy", "embeddings.npy"):
        assert (many.results / name).read_bytes() == (few.results / name).read_bytes()
    skipped, expected = (
        json.loads((run.results / "summary.json").read_text())["skipped"] for run in (many, few)
    )
    assert skipped == expected

    with (folder / "Grace_Hopper/Grace_Hopper_0001.jpg").open("ab") as stream:
        stream.write(b"other")
    changed = snakemake(tmp_path / "many", photos=folder.parent, shards=257, **STUB)
    assert changed.code == 0, changed.output
    assert changed.jobs["encode"] == 1
    assert json.loads((changed.results / "summary.json").read_text())["newly_encoded"] == 1


def archive(target: Path, folder: Path) -> Path:
    with tarfile.open(target, "w:gz") as tar:
        tar.add(folder, arcname="photos")
    return target


@pytest.fixture
def photos(tmp_path: Path, sample_photos: Path) -> Path:
    """A folder of four photos for changing."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(1, 5):
        shutil.copy(
            sample_photos / f"Grace_Hopper/Grace_Hopper_000{min(number, 3)}.jpg",
            folder / f"{number}.jpg",
        )
    return folder


def test_only_the_shard_of_a_changed_photo_is_encoded_again(
    tmp_path: Path, photos: Path, sample_photos: Path
) -> None:
    def run(**config: object) -> Run:
        done = snakemake(
            tmp_path / "run", photos=tmp_path / "photos.tar.gz", shards=6, **(STUB | config)
        )
        assert done.code == 0, done.output
        return done

    archive(tmp_path / "photos.tar.gz", photos)
    assert run().jobs["encode"] == 6
    assert run().jobs["encode"] == 0

    os.utime(tmp_path / "photos.tar.gz")
    assert run().jobs["encode"] == 0, "touching the archive changes no photo"

    shutil.copy(sample_photos / "Eileen_Collins/Eileen_Collins_0001.jpg", photos / "1.jpg")
    archive(tmp_path / "photos.tar.gz", photos)
    changed = run()
    assert changed.jobs["encode"] == 1
    assert changed.jobs["merge"] == 1

    (photos / "1.jpg").unlink()
    archive(tmp_path / "photos.tar.gz", photos)
    removed = run()
    assert removed.jobs["encode"] == 1
    assert pd.read_csv(removed.results / "faces.csv")["path"].tolist() == [
        f"photos/{number}.jpg" for number in (2, 3, 4)
    ]

    shutil.copy(sample_photos / "Eileen_Collins/Eileen_Collins_0002.jpg", photos / "5.jpg")
    archive(tmp_path / "photos.tar.gz", photos)
    assert run().jobs["encode"] == 1

    assert run(face="largest").jobs["encode"] == 6
    assert run(face="largest", pairs="pairs.txt").jobs["encode"] == 0


def test_snakemake_looks_for_jobs_to_start_when_one_has_ended(tmp_path: Path, photos: Path) -> None:
    run = snakemake(tmp_path / "run", "--verbose", photos=photos, shards=8, **STUB)
    assert run.code == 0, run.output
    assert run.output.count("Ready jobs: ") <= sum(run.jobs.values()) + 1


def test_a_folder_is_scanned_at_every_run(
    tmp_path: Path, photos: Path, sample_photos: Path
) -> None:
    other = sample_photos / "Eileen_Collins/Eileen_Collins_0001.jpg"

    def run() -> Run:
        done = snakemake(tmp_path / "run", photos=photos, shards=4, **STUB)
        assert done.code == 0, done.output
        return done

    assert run().jobs["encode"] == 4
    assert not run().jobs
    shutil.copy(other, photos / "6.jpg")
    assert run().jobs["encode"] == 1
    (photos / "6.jpg").rename(photos / "7.jpg")
    moved = run()
    assert moved.jobs["encode"] == len({shard_of(name, 4) for name in ("6.jpg", "7.jpg")})
    assert "7.jpg" in pd.read_csv(moved.results / "faces.csv")["path"].tolist()


def test_a_lost_photo_fails_the_run(tmp_path: Path, photos: Path) -> None:
    run = snakemake(tmp_path / "run", photos=photos, shards=1, **STUB)
    assert run.code == 0, run.output
    outcomes = outcome(run.results, "photos-0000")
    lines = outcomes.read_text().splitlines(keepends=True)
    outcomes.write_text("".join(lines[:-1]))
    # As if encode itself had lost it: else it is found to be altered.
    (run.results / f"logs/encode/{outcomes.stem}.json").unlink()
    counts = outcomes.with_suffix(".json")
    told = json.loads(counts.read_text())
    told["sha256"]["outcomes"] = hashlib.sha256(outcomes.read_bytes()).hexdigest()
    counts.write_text(json.dumps(told))
    (run.results / "mean.npy").unlink()
    broken = snakemake(tmp_path / "run", photos=photos, shards=1, **STUB)
    assert broken.code != 0
    assert "3 photos, but 2 accounted for; " in broken.output
    assert ".jpg' is neither encoded nor failed" in broken.output
    assert not (run.results / "mean.npy").exists()


def test_no_face_at_all_gives_a_message_and_no_mean(tmp_path: Path, sample_photos: Path) -> None:
    run = snakemake(tmp_path / "run", photos=sample_photos / "Failures", shards=2, **FAST)
    assert run.code != 0
    assert "no photo could be encoded, so there is no mean; failed: no_face 3" in run.output
    assert not (run.results / "mean.npy").exists()


def test_a_folder_of_one_unreadable_format_says_so_and_lists_the_failures(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        (photos / f"{number}.jpg").write_bytes(b"8BPS\0\1" + bytes([number] * 30))
    run = snakemake(tmp_path / "run", photos=photos, shards=1, **FAST)
    assert run.code != 0
    listed = run.results / "logs/failures.csv"
    said = "failed: unsupported 3; most often: Photoshop, convert these photos to JPEG; see "
    assert said + str(listed) in run.output.splitlines()[-1]
    table = pd.read_csv(listed)
    assert table["reason"].tolist() == ["unsupported"] * 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"fase": "all"}, "config: unknown key 'fase'; did you mean face?"),
        (
            {"face": "left"},
            "config: face: 'left' will not do; write central, largest, first or all",
        ),
        ({"shards": "many"}, "config: shards: 'many' will not do; write auto, or a whole number"),
        ({"detectors": "[hog]"}, "config: detectors: ['hog'] will not do; write a list of"),
        ({"photos": "/nowhere.zip"}, "config: photos: no such file or folder: '/nowhere.zip'"),
        ({"photos": "https://localhost/x.tgz"}, "config: sha256: missing for the URL"),
        ({"photos": "ftp://localhost/x.tgz"}, "write a URL with http:// or https://"),
        ({"sha256": "abc"}, "config: sha256: 'abc' will not do; write 64 hexadecimal digits"),
    ],
)
def test_a_wrong_config_is_one_line_before_any_job(
    tmp_path: Path, config: dict[str, object], message: str
) -> None:
    run = snakemake(tmp_path, **config)
    assert run.code != 0
    assert [line for line in run.output.splitlines() if message in line]
    assert "Traceback" not in run.output
    assert len(run.output.splitlines()) <= 3
    assert not run.jobs


def test_a_target_that_is_none_is_one_line_before_any_job(tmp_path: Path) -> None:
    for arguments in (["peoplee"], ["peoplee", "--dry-run"]):
        run = snakemake(tmp_path, *arguments, encoder="stub")
        assert run.code != 0
        assert "meanface: there is no target 'peoplee'; did you mean people?\n" in run.output
        assert not run.results.exists()


@pytest.mark.parametrize("name", ["./a:b", "yes", "null", "~/a #1", "a: b"])
def test_a_folder_may_have_any_name(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What YAML reads otherwise stands in quotes, as the line says that refuses it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    photos.rename(tmp_path / name.removeprefix("~/"))
    quoted = f' "{name}/" ' if " " in name else f"{name}/"
    run = snakemake(tmp_path, "--until", "acquire", photos=quoted)
    assert run.code == 0, run.output
    made_of = json.loads((run.results / "sources/photos.json").read_text())["made_of"]
    assert made_of["photos"] == str(tmp_path / name.removeprefix("~/"))
    if " " in name:
        refused = snakemake(tmp_path, photos=name)
        assert f"between blanks, 'photos= \"{name}\" '" in refused.output.splitlines()[-1]


def test_a_folder_that_cannot_be_listed_is_one_line_before_any_job(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    nest_folders(tmp_path / "photos")
    run = snakemake(tmp_path, photos="photos", shards=2)
    assert run.code != 0
    assert re.search(f"^meanface: {tmp_path}/.*: cannot be listed: File name too", run.output, re.M)
    assert "Traceback" not in run.output


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a web server, on loopback, that serves tmp_path/www."""
    (tmp_path / "www").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_an_archive_is_downloaded_from_the_mirror_that_has_it(
    tmp_path: Path, photos: Path, server: str
) -> None:
    served = archive(tmp_path / "www/party.tgz", photos)
    source = {
        "photos": f"{server}/gone/party.tgz",
        "mirrors": f"[{server}/party.tgz]",
        "sha256": hashlib.sha256(served.read_bytes()).hexdigest(),
        "shards": 1,
    }
    run = snakemake(tmp_path / "run", **source, **STUB)
    assert run.code == 0, run.output
    assert run.jobs["download"] == 1
    assert len(pd.read_csv(run.results / "faces.csv")) == 4
    assert not snakemake(tmp_path / "run", **source, **STUB).jobs


def test_a_download_of_other_content_is_refused(tmp_path: Path, photos: Path, server: str) -> None:
    archive(tmp_path / "www/party.tgz", photos)
    run = snakemake(tmp_path / "run", photos=f"{server}/party.tgz", md5="f" * 32)
    assert run.code != 0
    (line,) = [line for line in run.output.splitlines() if line.startswith("meanface:")]
    assert "party.tgz" in line
    assert "f" * 32 in line
    assert not list(run.results.glob("download/*/*"))


def test_a_wrong_checksum_stops_the_run(tmp_path: Path) -> None:
    run = snakemake(tmp_path, md5="f" * 32)
    assert run.code != 0
    (line,) = [line for line in run.output.splitlines() if line.startswith("meanface:")]
    assert "sample.tar.gz" in line
    assert "f" * 32 in line
    assert not (run.results / "sources/photos.json").exists()
    assert not (run.results / "shards").exists()


def test_an_archive_replaced_by_an_older_file_is_noticed(tmp_path: Path, photos: Path) -> None:
    config = {"photos": archive(tmp_path / "photos.tar.gz", photos), "shards": 1}
    assert snakemake(tmp_path / "run", **config, **STUB).code == 0
    (photos / "1.jpg").unlink()
    os.utime(archive(tmp_path / "photos.tar.gz", photos), (0, 0))
    run = snakemake(tmp_path / "run", **config, **STUB)
    assert run.code == 0, run.output
    assert pd.read_csv(run.results / "faces.csv")["path"].tolist() == [
        f"photos/{number}.jpg" for number in (2, 3, 4)
    ]


def test_what_came_from_the_cache_counts_for_no_speed(tmp_path: Path, photos: Path) -> None:
    for number in range(5, 105):  # fewer have no speed
        (photos / f"{number}.jpg").write_bytes((photos / "1.jpg").read_bytes() + b"%d" % number)
    of = {"photos": photos, "cache": tmp_path / "cache"} | STUB
    first, second = (snakemake(tmp_path / name, **of) for name in ("first", "second"))
    assert (first.code, second.code) == (0, 0), second.output
    assert re.search(r"^ +new  103, and 0 reused; .*\n +speed  [\d.,]+ photos", first.output, re.M)
    assert "  new  0, and 103 reused" in second.output
    assert "  speed  " not in second.output
    summary = json.loads((second.results / "summary.json").read_text())
    assert (summary["newly_encoded"], summary["photos_per_second"]) == (0, None)


def test_a_cache_that_cannot_be_used_is_told_at_the_end(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "file").touch()
    run = snakemake(tmp_path / "run", photos=photos, cache=tmp_path / "file", **STUB)
    assert run.code == 0, run.output
    assert re.search(
        rf"^ +cache  {tmp_path}/file/\S+ cannot be read.*: Not a dir", run.output, re.M
    )


@pytest.mark.parametrize("megabytes", [100, 500])
def test_an_encode_job_may_have_little_memory(tmp_path: Path, photos: Path, megabytes: int) -> None:
    Image.new("RGB", (7000, 7000)).save(photos / "large.png")
    little = ("--set-resources", f"encode:mem_mb={megabytes}")
    run = snakemake(tmp_path / "run", *little, photos=photos, shards=1, **FAST, cache="None")
    assert run.code == 0, run.output
    assert "encoded  4 " in run.output
    failures = pd.read_csv(run.results / "failures.csv")
    assert failures[["path", "reason"]].to_numpy().tolist() == [["large.png", "out_of_memory"]]
    assert not (run.results / "cache").exists()


def test_without_pictures_no_photo_is_left(
    tmp_path: Path, photos: Path, server: str, sample_photos: Path
) -> None:
    def run() -> Run:
        served = archive(tmp_path / "www/party.tgz", photos)
        sha256 = hashlib.sha256(served.read_bytes()).hexdigest()
        source = {"photos": f"{server}/party.tgz", "sha256": sha256, "shards": 4}
        done = snakemake(tmp_path / "run", **source, **STUB, pictures="false", cache="null")
        assert done.code == 0, done.output
        assert {path.name for path in (tmp_path / "run").iterdir()} == {".snakemake", "results"}
        contents = [path.read_bytes() for path in photos.iterdir()]
        for path in done.results.rglob("*.*"):
            assert path.suffix not in (".tar", ".tgz", ".png", ".jpg"), path
            assert not [one for one in contents if path.is_file() and one in path.read_bytes()]
        return done

    assert run().jobs["encode"] == 4
    shutil.copy(sample_photos / "Eileen_Collins/Eileen_Collins_0001.jpg", photos / "1.jpg")
    changed = run()
    assert changed.jobs["encode"] == 1, changed.output
    assert "1.jpg" in (changed.results / "faces.csv").read_text()
    (source,) = (changed.results / "sources").iterdir()
    sha256 = json.loads(source.read_text())["sha256"]
    again = snakemake(
        tmp_path / "run",
        **STUB,
        pictures="false",
        cache="null",
        photos=f"{server}/party.tgz",
        sha256=sha256,
        shards=4,
    )
    assert not again.jobs, again.output
