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

import pytest

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


def test_photos_that_are_refused_are_one_line(tmp_path: Path) -> None:
    done = compare(tmp_path, "nowhere.zip")
    assert done.returncode == 1
    assert done.stderr == (
        f"meanface: config: photos: no such file or folder: '{tmp_path}/nowhere.zip'\n"
    )
