"""What a person sees of a run: bars at a terminal, lines in a pipe, the summary at the end."""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from meanface.workflow.progress import Progress
from tests.runs import FAULT_INJECTION, ROOT, Run, snakemake


def at_a_terminal(
    directory: Path, photos: Path, *arguments: str, config: tuple[str, ...] = ("shards=2",)
) -> tuple[int, str]:
    """Run the workflow at a terminal of 100 columns: its exit code, and all that it wrote."""
    controller, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(directory)]
    command += ["--snakefile", str(ROOT / "Snakefile"), *arguments]
    command += ["--config", *config, f"photos={photos}"]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    environment = os.environ | {"TERM": "xterm-256color"}
    with subprocess.Popen(command, env=environment, **streams) as process:  # type: ignore[call-overload]
        os.close(terminal)
        written = b""
        while chunk := _read(controller):
            written += chunk
    os.close(controller)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    return process.returncode, plain.replace("\r\n", "\n")


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # nobody has the terminal open any more
        return b""


@pytest.fixture(scope="module")
def in_a_pipe(sample_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return snakemake(tmp_path_factory.mktemp("pipe"), photos=sample_photos, shards=2)


def test_a_pipe_gets_plain_lines_and_the_photos_done(in_a_pipe: Run) -> None:
    assert in_a_pipe.code == 0, in_a_pipe.output
    assert in_a_pipe.jobs["encode"] == 2
    assert "\x1b" not in in_a_pipe.output
    assert "Workflow Progress" not in in_a_pipe.output
    lines = re.findall(r"^(\d+) of 30 photos, .*, (\d+) failed$", in_a_pipe.output, re.M)
    # A line every 30 seconds, and one at the end.
    assert lines[-1] == ("30", "7")
    assert len(lines) < 30


def test_a_second_run_does_nothing_and_shows_the_summary(
    in_a_pipe: Run, sample_photos: Path
) -> None:
    again = snakemake(in_a_pipe.results.parent, photos=sample_photos, shards=2)
    assert again.jobs == {}
    summary = re.findall(r"^ +(?:photos|encoded|failed|why:|results) .*$", again.output, re.M)
    assert len(summary) == 5
    assert set(summary) < set(in_a_pipe.output.splitlines())


def test_only_the_photos_of_this_run_count(in_a_pipe: Run, sample_photos: Path) -> None:
    forced = sorted((in_a_pipe.results / "encoded").glob("*.json"))[0]
    name = str(forced.relative_to(in_a_pipe.results.parent))
    again = snakemake(in_a_pipe.results.parent, "--forcerun", name, photos=sample_photos, shards=2)
    assert again.jobs["encode"] == 1
    (line,) = re.findall(r"^(\d+) of (\d+) photos, ", again.output, re.M)
    assert line[0] == line[1] != "30"


def test_a_terminal_gets_bars_and_the_summary(sample_photos: Path, tmp_path: Path) -> None:
    code, shown = at_a_terminal(tmp_path, sample_photos)
    assert code == 0, shown
    assert "Workflow Progress" in shown
    assert re.search(r"\d+ of 30 photos, [\d.]+/s, \d+:\d+ left, \d+ failed", shown)
    assert "Finished jobid" not in shown
    summary = shown[shown.rindex("  photos  30") :]
    assert re.search(r"^ +failed  7 \(no_face \d", summary, re.M)
    # Lines longer than the terminal is wide are broken.
    assert f"{tmp_path}/results/" in re.sub(r"\s", "", summary)


def test_the_bar_moves_within_a_shard(
    sample_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [str(path.relative_to(sample_photos)) for path in sorted(sample_photos.glob("*/*.jpg"))]
    monkeypatch.setenv("MEANFACE_TEST_FAULTS", json.dumps(dict.fromkeys(slow[4:9:2], "slow")))
    monkeypatch.setenv("PYTHONPATH", str(FAULT_INJECTION), prepend=os.pathsep)
    code, shown = at_a_terminal(tmp_path, sample_photos, config=("shards=1", "batch=1"))
    assert code == 0, shown
    done = [int(number) for number in re.findall(r"(\d+) of 30 photos", shown)]
    assert done == sorted(done)
    assert {0, 30} < set(done)


def test_a_terminal_shows_why_a_run_failed(tmp_path: Path) -> None:
    archive = tmp_path / "photos.tgz"
    archive.write_text("no archive")
    code, shown = at_a_terminal(tmp_path, archive, "--until", "shard")
    assert code == 1
    # The logger shows the job's log, whose lines it breaks at the width of the terminal.
    assert f"{archive} is neither a folder, a tar" in shown.replace("\n", "").replace("  ", " ")


def test_the_reason_comes_last_with_paths_from_where_the_command_was_given(
    sample_photos: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", "there/run"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--config", "encoder=stub", "shards=1"]
    command += [f"photos={sample_photos}"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert run().returncode == 0
    results = tmp_path / "there/run/results"
    (results / "contents/photos-0.csv").write_text("no table")
    (results / "logs/shard/photos-0.json").unlink()
    (results / "plan/shards.csv").unlink()
    last = run().stderr.splitlines()[-1]
    assert last.startswith("meanface: ")
    log = re.search(r"[(]details in (there/run/results/logs/\S+.log)[)]$", last)
    assert log, last
    assert (tmp_path / log[1]).exists()

    (results / "mean.npy").write_bytes(b"other")
    altered = [line for line in run().stderr.splitlines() if "altered" in line]
    assert altered[0].startswith("meanface: there/run/results/mean.npy was altered")


@pytest.mark.parametrize(
    ("progress", "seconds", "text"),
    [
        (Progress(13_233), 0.0, "0 of 13,233 photos, 0 failed"),
        (
            Progress(13_233, 6_600, 12),
            40.0,
            "6,600 of 13,233 photos, 165.0/s, 00:40 left, 12 failed",
        ),
        (Progress(100, 100, 3), 50.0, "100 of 100 photos, 2.0/s, 00:00 left, 3 failed"),
        (Progress(0), 1.0, "0 of 0 photos, 0 failed"),
    ],
)
def test_the_progress_in_words(progress: Progress, seconds: float, text: str) -> None:
    assert progress.text(seconds) == text
