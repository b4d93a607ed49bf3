"""Faults while a run is under way and between two runs, with real processes.

After each fault one more `snakemake` gives the bytes of an undisturbed run, with no flag but what
the message of the one before says.
"""

import csv
import hashlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from PIL import Image

from meanface.workflow.integrity import note_states, recorded, remove_altered
from tests.fileserver import FileServer, Reply
from tests.runs import FAULT_INJECTION, ROOT, Run, outcome, snakemake

RESULTS = [
    *("mean.npy", "embeddings.npy", "faces.csv", "faces.parquet", "failures.csv"),
    *("statistics.npz", "identities.csv", "identities.npy", "mean_by_identity.npy"),
]
# The file before whose last step, its final name, each stage is stopped; some of those that the
# stage makes have theirs already.
STAGES = {
    "download": "results/download/photos/party.tar",
    "acquire": "results/sources/photos.json",
    "shard": "results/shards/photos-0000.csv",
    "plan": "results/plan/shards.csv",
    "encode": "results/encoded/photos-0001.*.csv",
    "merge": "results/faces.csv",
    "statistics": "results/identities.csv",
}

STOP = """
import fnmatch, os, signal, sys

def stop(event, arguments):
    if event == "os.rename" and fnmatch.fnmatch(os.fspath(arguments[1]), os.environ["STOP_AT"]):
        signal.signal(signal.SIGUSR1, lambda *_: None)
        with open(os.environ["STOPPED"], "w") as stopped:
            stopped.write(str(os.getpid()))
        signal.pause()

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
sys.addaudithook(stop)
"""


def archive(target: Path, count: int = 6) -> Path:
    """A tar of photos of one pixel; the stub encodes whatever they show."""
    with tarfile.open(target, "w") as tar:
        for number in range(count):
            photo = io.BytesIO()
            Image.new("RGB", (1, 1), (number, 0, 0)).save(photo, "BMP")
            member = tarfile.TarInfo(f"person_{number % 2}/{number}.bmp")
            member.size = len(photo.getvalue())
            tar.addfile(member, io.BytesIO(photo.getvalue()))
    return target


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archive(tmp_path_factory.mktemp("photos") / "party.tar")


def run(folder: Path, photos: Path | str, *arguments: str, **config: object) -> Run:
    return snakemake(
        folder, *arguments, **({"photos": photos, "encoder": "stub", "shards": 2} | config)
    )


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "results" / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def undisturbed_folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run left behind. Shared: do not change it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run(folder, photos)
    assert done.code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def undisturbed(undisturbed_folder: Path) -> dict[str, bytes]:
    return results(undisturbed_folder)


@pytest.fixture
def finished(undisturbed_folder: Path, tmp_path: Path) -> Path:
    """A folder of its own in which a run has finished."""
    subprocess.run(["cp", "-a", undisturbed_folder, tmp_path / "run"], check=True)
    return tmp_path / "run"


def unmake(folder: Path, log: str) -> None:
    """Delete what a job left behind: all that it made, its log and its record."""
    record = folder / f"results/logs/{log}.json"
    for file in json.loads(record.read_bytes()):
        (folder / file).unlink()
    record.with_suffix(".log").unlink()
    record.unlink()


def notices(done: Run) -> list[str]:
    """The lines that are for the person at the terminal."""
    return [line for line in done.output.splitlines() if line.startswith("meanface: ")]


# --- between two runs ---------------------------------------------------------------------------


def flip(path: Path) -> None:
    """Alter one bit, and leave size and time as they were."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def test_what_was_altered_is_found_and_made_again(
    photos: Path, undisturbed: dict[str, bytes], finished: Path
) -> None:
    made = [
        path
        for folder in (".", "sources", "shards", "contents", "plan", "encoded")
        for path in (finished / "results" / folder).iterdir()
        if path.is_file()
    ]
    assert {path.suffix for path in made} >= {".tar", ".csv", ".npy", ".npz", ".json"}
    altered = [path for path in made if path.stat().st_size]
    reports = (outcome(finished / "results", f"photos-000{n}", "json") for n in (0, 1))
    timed = {"summary.json", *(report.name for report in reports)}
    for number, alter in enumerate((flip, cut), 1):
        before = {path: path.read_bytes() for path in altered}
        for path in altered:
            alter(path)
        edited = {path: path.read_bytes() for path in altered if path.parent.name == "results"}
        again = run(finished, photos)
        assert again.code == 0, again.output
        # The tables may have been edited.
        tables = {
            path: path.with_name(f"{path.stem}.altered-{number}.csv")
            for path in edited
            if path.suffix == ".csv"
        }
        what = {path: f"renamed to {kept.name}" for path, kept in tables.items()}
        assert what
        assert sorted(notices(again)) == sorted(
            f"meanface: {path} was altered since it was made, and is"
            f" {what.get(path, 'removed')} to be made again"
            for path in altered
        )
        assert all(kept.read_bytes() == edited[path] for path, kept in tables.items())
        assert results(finished) == undisturbed
        for path in altered:
            assert path.name in timed or path.read_bytes() == before[path]
    assert not run(finished, photos).jobs


def test_one_altered_file_is_never_used(
    photos: Path, undisturbed: dict[str, bytes], finished: Path
) -> None:
    """What no job waits for is not made again at once, but when it is needed."""
    for file in (
        outcome(finished / "results", "photos-0000", "npy"),
        finished / "results/shards/photos-0000.tar",
    ):
        flip(file)
    looked = run(finished, photos)
    assert len(notices(looked)) == 2
    assert not looked.jobs
    (finished / "results/mean.npy").unlink()
    again = run(finished, photos)
    assert again.code == 0, again.output
    assert not notices(again)
    assert results(finished) == undisturbed


def test_results_deleted_are_made_again(
    photos: Path, undisturbed: dict[str, bytes], finished: Path
) -> None:
    for name in ("faces.csv", "statistics.npz"):
        (finished / "results" / name).unlink()
    again = run(finished, photos)
    assert again.code == 0, again.output
    assert again.jobs == {"merge": 1, "statistics": 1, "all": 1}
    assert results(finished) == undisturbed


def test_a_copy_of_the_folder_is_not_altered(photos: Path, finished: Path) -> None:
    again = run(finished, photos)
    assert not notices(again)
    assert not again.jobs


def test_a_job_that_failed_has_no_record_of_what_was_there_before(tmp_path: Path) -> None:
    made, record = tmp_path / "made", tmp_path / "record.json"
    made.write_text("whole")
    with recorded(record, [str(made)]):
        pass
    with pytest.raises(KeyError), recorded(record, [str(made)]):
        made.write_text("something else")
        raise KeyError
    assert remove_altered(tmp_path, tmp_path / "seen") == {}
    assert made.exists()


def test_what_is_remembered_of_a_run_is_no_reason_to_fail(tmp_path: Path) -> None:
    """Where it cannot be written, the next run reads more."""
    made = tmp_path / "made"
    with recorded(tmp_path / "record.json", [str(made)]):
        made.write_text("whole")
    seen = tmp_path / "absent" / "seen"
    note_states(tmp_path, seen)
    assert remove_altered(tmp_path, seen) == {}
    made.write_text("other")
    assert remove_altered(tmp_path, seen) == {str(made): None}


def test_merge_itself_looks_at_what_encode_made(photos: Path, finished: Path) -> None:
    """Damage that no time tells, here for want of a record."""
    damaged = outcome(finished / "results", "photos-0001", "npy")
    (finished / f"results/logs/encode/{damaged.stem}.json").unlink()
    flip(damaged)
    (finished / "results/mean.npy").unlink()
    refused = run(finished, photos)
    assert refused.code != 0
    assert notices(refused) == [
        f"meanface: {damaged} was altered since it was made; "
        f"delete it to have it made again (details in {finished}/results/logs/merge.log)"
    ]
    assert not (finished / "results/mean.npy").exists()


def test_the_clock_may_be_set_back(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """Results from the future are no newer than what is made from them now."""
    source, folder = archive(tmp_path / "party.tar", 1), tmp_path / "run"
    assert run(folder, source).code == 0
    archive(source)
    ahead = 2**31 - 1  # seconds: in 2038
    for path in (source, *(folder / "results").rglob("*.*")):
        os.utime(path, (ahead, ahead))
    refused = run(folder, source)
    assert refused.code != 0
    assert notices(refused) == [
        f"meanface: {source}: its time is in the future; set the clock or `touch` it "
        f"(details in {folder}/results/logs/acquire/photos.log)"
    ]
    source.touch()
    again = run(folder, source)
    assert again.code == 0, again.output
    assert results(folder) == undisturbed


# --- processes that are killed --------------------------------------------------------------------


@dataclass(frozen=True)
class Stopped:
    """A run that waits in the middle of a stage: Snakemake, and the job."""

    main: subprocess.Popen[bytes]
    job: psutil.Process


@contextmanager
def stopped(
    folder: Path, hook: Path, stage: str, photos: object, **config: object
) -> Iterator[Stopped]:
    """Start a run, and give it when it has come to the stage's file in STAGES."""
    folder.mkdir(exist_ok=True)
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(STOP)
    fifo = hook / "stopped"
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    told = os.open(fifo, os.O_RDWR)
    settings = {"photos": photos, "encoder": "stub", "shards": 2} | config
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    command += ["--snakefile", f"{ROOT}/Snakefile", "--directory", str(folder)]
    command += ["--config", *(f"{k}={v}" for k, v in settings.items())]
    environment = {"PYTHONPATH": f"{hook}:{ROOT}", "STOP_AT": STAGES[stage], "STOPPED": fifo}
    with (folder / "output.log").open("wb") as output:
        main = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=os.environ | {key: str(value) for key, value in environment.items()},
            start_new_session=True,
        )
    try:
        ready, _, _ = select.select([told], [], [], 60)
        assert ready, (folder / "output.log").read_text()
        yield Stopped(main, psutil.Process(int(os.read(told, 20))))
    finally:
        os.close(told)
        if main.poll() is None:
            os.killpg(main.pid, signal.SIGKILL)
            main.wait()


def all_of_them(run: Stopped) -> None:
    os.killpg(run.main.pid, signal.SIGKILL)


def snakemake_alone(run: Stopped) -> None:
    run.main.kill()


def job_alone(run: Stopped) -> None:
    run.job.kill()


@pytest.mark.parametrize("kill", [all_of_them, snakemake_alone, job_alone])
def test_a_run_killed_at_each_stage_goes_on(
    kill: object,
    undisturbed: dict[str, bytes],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same run is killed at every stage, one after the other; its archive is a download."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    folder = tmp_path / "run"
    with FileServer() as server, FileServer() as other:
        # A redirect to another host.
        there = other.serve("/party.tar", Reply(photos.read_bytes()))
        there = there.replace("127.0.0.1", "localhost")
        url = server.serve("/party.tar", Reply(status=302, headers={"Location": there}))
        sha256 = hashlib.sha256(photos.read_bytes()).hexdigest()
        for stage in STAGES:
            with stopped(folder, tmp_path / "hook", stage, url, sha256=sha256) as halfway:
                kill(halfway)  # type: ignore[operator]
                _, alive = psutil.wait_procs([halfway.job], timeout=60)
                assert not alive, f"{stage}: the job goes on without Snakemake"
                assert halfway.main.wait(60) != 0
            assert not list(folder.glob(STAGES[stage]))
            # What --unlock does, as is seen below: it takes as long as a run to start.
            if kill is not job_alone and stage != "statistics":
                shutil.rmtree(folder / ".snakemake/locks")
        if kill is not job_alone:
            locked = run(folder, url, sha256=sha256)
            assert locked.code != 0
            assert "It can be removed with the --unlock argument" in locked.output
            assert run(folder, url, "--unlock", sha256=sha256).code == 0
            assert not (folder / ".snakemake/locks").exists()
        done = run(folder, url, sha256=sha256)
    assert done.code == 0, done.output
    assert not notices(done)
    assert results(folder) == undisturbed
    assert not list((folder / "results").rglob("*.part"))


RESUME = "meanface: the run was stopped; to resume, repeat the same command"


def test_ctrl_c_says_how_to_resume(
    undisturbed: dict[str, bytes], photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with stopped(folder, tmp_path / "hook", "merge", photos) as halfway:
        os.killpg(halfway.main.pid, signal.SIGINT)
        assert halfway.main.wait(60) != 0
    shown = (folder / "output.log").read_text()
    assert shown.splitlines()[-1] == RESUME
    assert "Traceback" not in shown
    done = run(folder, photos)
    assert done.code == 0, done.output
    assert done.jobs["encode"] == 0
    assert results(folder) == undisturbed


TERMINATE = """
import os, signal, sys

def terminate(event, arguments):
    if event == "open" and "/.snakemake/metadata/" in str(arguments[0]) and arguments[1] == "w":
        os.kill(os.getpid(), signal.SIGTERM)

sys.addaudithook(terminate)
"""


def test_a_run_asked_to_end_while_it_notes_a_job_ends(
    undisturbed: dict[str, bytes],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(TERMINATE)
    with monkeypatch.context() as context:
        context.setenv("PYTHONPATH", str(hook))
        asked = run(tmp_path / "run", photos)
    assert asked.code != 0
    assert sum(asked.jobs.values()) == 1
    assert asked.output.splitlines()[-1] == RESUME
    done = run(tmp_path / "run", photos)
    assert done.code == 0, done.output
    assert results(tmp_path / "run") == undisturbed


def test_photos_that_kill_a_process_fail_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What test_isolate.py tests, in a run: by its limits of time and memory."""
    faults = {"0": "segfault", "1": "hang", "2": "oom", "3": "exit"}
    of = {f"person_{int(number) % 2}/{number}.bmp": fault for number, fault in faults.items()}
    monkeypatch.setenv("MEANFACE_TEST_FAULTS", json.dumps(of))
    monkeypatch.setenv("PYTHONPATH", str(FAULT_INJECTION))
    done = run(tmp_path, photos, max_seconds=2, max_pixels=1_000_000, batch=3)
    assert done.code == 0, done.output
    with (tmp_path / "results/failures.csv").open() as table:
        failed = {row["path"]: (row["reason"], row["detail"]) for row in csv.DictReader(table)}
    assert failed == {
        "person_0/0.bmp": ("crashed", "signal SIGSEGV"),
        "person_1/1.bmp": ("timeout", "longer than 2 s"),
        "person_0/2.bmp": ("out_of_memory", "more than 526 MB"),
        "person_1/3.bmp": ("crashed", "exit status 3"),
    }
    with (tmp_path / "results/faces.csv").open() as table:
        assert [row["path"] for row in csv.DictReader(table)] == [
            "person_0/4.bmp",
            "person_1/5.bmp",
        ]


def test_a_second_run_in_the_folder_is_refused(
    photos: Path, undisturbed: dict[str, bytes], finished: Path, tmp_path: Path
) -> None:
    unmake(finished, "merge")
    with stopped(finished, tmp_path / "hook", "merge", photos) as first:
        second = run(finished, photos)
        assert second.code != 0
        assert not second.jobs
        assert "Directory cannot be locked" in second.output
        first.job.send_signal(signal.SIGUSR1)
        assert first.main.wait(60) == 0
    assert results(finished) == undisturbed


# --- disks ------------------------------------------------------------------------------------


@pytest.fixture
def disk(undisturbed_folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder in which a run has finished, and whose results lie on a small disk of their own."""
    folder = tmp_path / "run"
    (folder / "results").mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", f"{folder}/results"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    subprocess.run(["cp", "-a", f"{undisturbed_folder}/.", folder], check=True)
    yield folder
    subprocess.run(["umount", folder / "results"], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on the disk; give the file that takes it."""
    ballast = disk / "results" / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(1 << 12)):
                pass
        except OSError:
            return ballast
    raise AssertionError


def test_a_full_disk_stops_each_stage_with_one_line(
    disk: Path, photos: Path, undisturbed: dict[str, bytes]
) -> None:
    """From the last stage to the first, so that each finds what it needs."""
    stages = {
        "statistics": "statistics",
        "merge": "merge",
        "encode": "encode/<name of the outcome>",
        "plan": "plan",
        "shard": "shard/photos-0",
        "acquire": "acquire/photos",
    }
    assert stages.keys() == STAGES.keys() - {"download"}  # test_download.py: test_full_disk
    for stage, log in stages.items():
        if stage == "encode":
            log = f"encode/{outcome(disk / 'results', 'photos-0001').stem}"
        unmake(disk, log)
        ballast = fill(disk)
        refused = run(disk, photos)
        assert refused.code != 0
        assert f"Error in rule {stage}:" in refused.output
        (line,) = notices(refused)
        assert "No space left on device" in line
        assert "Traceback" not in refused.output
        assert not list(disk.glob(STAGES[stage]))
        ballast.unlink()
    assert not list((disk / "results").rglob("*.part"))
    again = run(disk, photos)
    assert again.code == 0, again.output
    assert results(disk) == undisturbed


def test_read_only_results_stop_the_run(
    disk: Path, photos: Path, undisturbed: dict[str, bytes]
) -> None:
    for stage in ("statistics", "merge"):
        unmake(disk, stage)
    subprocess.run(["mount", "-o", "remount,ro", disk / "results"], check=True)
    refused = run(disk, photos)
    assert refused.code != 0
    assert "Read-only file system" in refused.output
    subprocess.run(["mount", "-o", "remount,rw", disk / "results"], check=True)
    again = run(disk, photos)
    assert again.code == 0, again.output
    assert results(disk) == undisturbed
