"""The comparison with face_recognition takes what `photos` takes."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from benchmarks.phone import Portrait, make_photos, matched
from meanface.engine.decode import decode
from tests.lfw import lfw_archive, needs_lfw
from tests.runs import ROOT


def compare(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks/compare.py"), "--cores", "2"]
    command += ["--output", str(tmp_path / "comparison"), "--photos", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)


@pytest.fixture
def photos(tmp_path: Path, sample_photos: Path) -> Path:
    """A folder of four photos, two of them broken, in a folder of their own."""
    folder = tmp_path / "photos"
    for name in ("Grace_Hopper/Grace_Hopper_0001.jpg", "Eileen_Collins/Eileen_Collins_0001.jpg"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(sample_photos / name, folder / name)
    (folder / "Failures").mkdir()
    for name in ("Cut_off.jpg", "Cat.png"):
        shutil.copy(sample_photos / "Failures" / name, folder / "Failures")
    (folder / "Failures/no_photo.jpg").write_text("no photo")
    return folder


@pytest.fixture
def url(tmp_path: Path, photos: Path) -> Iterator[str]:
    """The address of a zip of the photos, on loopback."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/photos.zip"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "zip", "pattern", "several", "url"])
def test_the_comparison_takes_what_photos_takes(
    tmp_path: Path, photos: Path, url: str, kind: str
) -> None:
    zipped = Path(shutil.make_archive(str(photos), "zip", photos))
    given = {
        "folder": ["photos"],
        "zip": [zipped.name],
        "pattern": ["photos/Grace_*"],
        "several": ["photos/Grace_Hopper", "photos/Failures"],
        "url": [url, "--sha256", hashlib.sha256(zipped.read_bytes()).hexdigest()],
    }[kind]
    done = compare(tmp_path, *given)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "comparison/comparison.json").read_text())
    expected = {"pattern": 1, "several": 4}.get(kind, 5)
    assert [run["photos"] for run in result["runs"]] == [expected] * 3
    assert result["compat_difference"] < 1e-6


def test_photos_as_phones_take_them_are_made_and_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.phone", "--photos", "1", "--width", "900"]
    command += ["--portraits", str(ROOT / "sample/sample.tar.gz"), "--faces", "8"]
    command += ["--kinds", "portraits", "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| portr")]
    assert [row[1] for row in rows] == ["meanface", "face_recognition"]
    assert [row[3:6] for row in rows] == [["1 of 1", "0", "0"]] * 2
    kinds = ["groups-0.jpg", "no-face-0.jpg", "portraits-0.jpg", "portraits-HEIC-0.heic"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kinds


def test_the_same_options_make_the_same_photos(tmp_path: Path) -> None:
    portraits = [Portrait(Image.new("RGB", (10, 10), "red"), (0.2, 0.3, 0.6, 0.7))]
    made = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        made.append(make_photos(tmp_path / name, portraits, 2, 400))
    for kind, photos in made[0].items():
        for (one, planted), (other, again) in zip(photos, made[1][kind], strict=True):
            assert one.read_bytes() == other.read_bytes()
            assert planted == again
            assert bool(planted) == (kind != "no face")
            pixels = np.asarray(decode(one.read_bytes(), "full", 1 << 20))
            assert pixels.shape == (300, 400, 3)
            for left, top, right, bottom in planted:
                red, green, _ = pixels[int(top + bottom) // 2, int(left + right) // 2]
                assert red > 200 > 100 > green


def test_a_face_is_found_if_a_box_has_its_middle() -> None:
    planted = [(0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)]
    found = np.array([[10, 10, 110, 110], [12, 12, 90, 90], [260, 0, 360, 100]], dtype=float)
    assert matched(planted, found) == (1, 1)
    assert matched([], np.empty((0, 4))) == (0, 0)


@pytest.mark.slow
@needs_lfw
def test_the_gpu_is_as_accurate_as_the_processor() -> None:
    """On one processor, if there is no GPU."""
    pytest.importorskip("torch")
    archive = lfw_archive()
    assert archive is not None
    command = [sys.executable, "-m", "benchmarks.gpu_accuracy", "--pairs-per-class", "12"]
    command += [str(archive.with_name("pairs-2folds.txt")), str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=1200)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    processor, single, half = ([float(cell) for cell in row[1:3] + row[4:5]] for row in rows)
    assert processor[0] > 0.9
    assert single == processor
    assert half[0] >= processor[0] - 1 / 48  # one of 48 pairs
    assert half[2] == processor[2]
    assert float(rows[1][7].split(",")[0]) < 1e-3
    assert int(rows[1][6]) == 0


def test_photos_that_are_refused_are_one_line(tmp_path: Path) -> None:
    done = compare(tmp_path, "nowhere.zip")
    assert done.returncode == 1
    assert done.stderr == (
        f"meanface: config: photos: no such file or folder: '{tmp_path}/nowhere.zip'\n"
    )


@pytest.mark.slow
def test_the_stages_that_join_are_measured_without_photos(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.joins", "--photos", "600", "--per-shard", "2"]
    command += ["--work", str(tmp_path), "--json", str(tmp_path / "joins.json")]
    command += ["--config", "faces_csv=false"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "joins.json").read_text())["600"]
    # The stages before were not run: this process has written what they write.
    assert [*measured["stages"]] == ["plan", "merge", "write_statistics", "snakemake"]
    assert all(stage["jobs"] == 1 for stage in measured["stages"].values())
    assert [path.name for path in tmp_path.iterdir()] == ["joins.json"]
