"""What a machine may lack: a GPU, a home that can be written, a name for the user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs import ROOT, snakemake

STUB = {"encoder": "stub", "shards": 1}
GPU = {"device": "cuda", "detectors": "[cnn@0,cnn@1]"}


def test_device_cuda_without_a_gpu_is_one_line_before_any_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hides a GPU that there may be
    run = snakemake(tmp_path / "run", **GPU)
    assert run.code != 0
    line = run.output.splitlines()[-1]
    assert line.startswith("meanface: device: cuda was asked for, but no GPU can be used here: ")
    assert line.endswith("; see docs/gpu.md, or write device: cpu")
    assert not run.jobs
    assert not run.results.exists()


def test_device_cuda_with_a_detector_of_processors_is_one_line(tmp_path: Path) -> None:
    run = snakemake(tmp_path / "run", device="cuda")
    assert run.code != 0
    assert run.output.splitlines()[-1] == (
        "meanface: config: device: cuda finds faces with the CNN detector; "
        "write detectors: [cnn@0, cnn@1]; or write device: cpu"
    )
    assert not run.jobs


def test_a_run_that_encodes_nothing_needs_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run = snakemake(tmp_path / "run", "--until", "shard", shards=1, **GPU)
    assert run.code == 0, run.output
    assert run.jobs["shard"] == 1


@pytest.mark.parametrize("variables", [{"HOME": os.devnull}, {"XDG_CACHE_HOME": os.devnull}])
def test_a_home_that_cannot_be_written_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    # A logger of Snakemake that `make cluster` installs needs a folder of its own.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run = snakemake(tmp_path / "run", **STUB)
    assert run.code == 0, run.output
    again = snakemake(tmp_path / "run", **STUB)
    assert (again.code, dict(again.jobs)) == (0, {}), again.output


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile"]
    command.append(str(ROOT / "Snakefile"))
    if os.geteuid() == 0:  # the modes of files do not apply to root
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    tmp_path.chmod(0o555)
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    tmp_path.chmod(0o755)
    assert run.returncode != 0
    assert run.stderr.splitlines()[-1].startswith(f"meanface: the folder {tmp_path} is read-only; ")
    assert "Traceback" not in run.stderr


def test_results_that_are_a_file_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("my own file")
    run = snakemake(tmp_path, **STUB)
    assert run.code != 0
    assert run.output.splitlines()[-1].startswith(f"meanface: {tmp_path}/results is no folder; ")
    assert not run.jobs


def test_a_user_id_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    # Only root could start a run as another user.
    (tmp_path / "sitecustomize.py").write_text("import pwd\npwd.getpwuid = {}.__getitem__\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    run = snakemake(tmp_path / "run", **STUB)
    assert run.code == 0, run.output
