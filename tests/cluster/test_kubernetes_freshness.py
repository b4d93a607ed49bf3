"""Results in storage: what changed is seen, whatever Snakemake remembers, and whatever was killed.

The oracle is a run of the same photos and settings on one machine, in a new folder.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cluster.kubernetes_cluster import Cluster, Fault, cluster
from tests.cluster.test_kubernetes import Bucket, bucket, run_s3, run_volume, s3
from tests.runs import Run
from tests.workflow.test_freshness import CHANGES, MTIME, RESULTS, bytes_of, make_photos
from tests.workflow.test_freshness import run as run_local

__all__ = ["bucket", "s3"]
pytestmark = pytest.mark.needs("rsync")

SETTINGS: dict[str, object] = {"encoder": "stub", "shards": 2, "cache": None}
# At each stage: the file before whose last step, its final name, the controller is killed; or, of
# stages that run in pods, None: the controller is killed as soon as the pod has started.
STAGES = {
    "acquire": "*results/sources/photos.json",
    "shard": "*results/shards/photos-0001.csv",
    "plan": "*results/plan/shards.csv",
    "encode": None,
    "merge": None,
    "statistics": None,
}
KILL = """
import fnmatch, os, signal, sys

def kill(event, arguments):
    if event == "os.rename" and fnmatch.fnmatch(os.fspath(arguments[1]), os.environ["KILL_AT"]):
        os.killpg(0, signal.SIGKILL)

if "KILL_AT" in os.environ:
    sys.addaudithook(kill)
"""


@dataclass
class Stored:
    """A cluster whose results are in storage, and the photos."""

    here: Cluster
    photos: Path
    bucket: Bucket | None

    def run(self, *arguments: str, **config: object) -> Run:
        read = {key: yaml.safe_load(str(value)) for key, value in config.items()}
        settings: dict[str, object] = {**SETTINGS, "photos": str(self.photos), **read}
        if self.bucket:
            return run_s3(self.here, self.bucket, *arguments, **settings)  # type: ignore[arg-type]
        return run_volume(self.here, *arguments, **settings)  # type: ignore[arg-type]

    def read(self, name: str) -> bytes:
        if self.bucket:
            return self.bucket.read(f"results/{name}")
        return (self.here.folder / "data/results" / name).read_bytes()

    def forget(self) -> None:
        """Lose the controller's folder, as in a new namespace or checkout."""
        shutil.rmtree(self.here.folder / "workdir", ignore_errors=True)


@pytest.fixture(params=["volume", "s3"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stored]:
    one = request.getfixturevalue("bucket") if request.param == "s3" else None
    with cluster(tmp_path) as here:
        yield Stored(here, make_photos(tmp_path / "photos"), one)


def check(stored: Stored, fresh: Path, **config: object) -> None:
    """Compare with a run in a new folder on one machine; then nothing is left or to do."""
    wanted = bytes_of(run_local(fresh, stored.photos, **config))
    assert {name: stored.read(name) for name in RESULTS} == wanted
    assert not stored.here.left_behind
    before = len(stored.here.submitted)
    again = stored.run(**config)
    assert again.code == 0, again.output
    assert len(stored.here.submitted) == before


@pytest.mark.slow
@pytest.mark.parametrize("records", ["kept", "gone"])
def test_changes_are_seen(stored: Stored, records: str, tmp_path: Path) -> None:
    """One change after another, each after a run with nothing to do."""
    changes: dict[str, Callable[[Path], dict[str, object]]] = {"none": lambda photos: {}, **CHANGES}
    config: dict[str, object] = {}
    for number, (name, change) in enumerate(changes.items()):
        if records == "gone":
            stored.forget()
        config |= change(stored.photos)
        done = stored.run(*(MTIME if records == "gone" else ()), **config)
        assert done.code == 0, f"{name}: {done.output}"
        check(stored, tmp_path / f"fresh-{number}", **config)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_controller_poisons_no_later_run(
    stored: Stored, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is killed with another setting, its pods finish; then runs with this and another."""
    (tmp_path / "kill").mkdir()
    (tmp_path / "kill/sitecustomize.py").write_text(KILL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "kill"), prepend=os.pathsep)

    def kill(command: str) -> Fault | None:
        if f"{stage}:" in command and not STAGES[stage]:
            os.killpg(stored.here.controller, signal.SIGKILL)
        return None

    with monkeypatch.context() as patched:
        if pattern := STAGES[stage]:
            patched.setenv("KILL_AT", pattern)
        stored.here.fault = kill
        killed = stored.run(face="all")
    assert killed.code == -signal.SIGKILL, killed.output
    stored.here.end_orphans()
    stored.here.fault = lambda command: None
    for number, config in enumerate(({"face": "all"}, {"face": "largest"})):
        done = stored.run(**config)
        assert done.code == 0, done.output
        check(stored, tmp_path / f"fresh-{number}", **config)
