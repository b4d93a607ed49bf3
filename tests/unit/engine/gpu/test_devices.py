"""Which GPU of several a job gets. nvidia-smi is a stand-in; locks are real."""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from meanface.engine.gpu.devices import own_gpu

VISIBLE = "CUDA_VISIBLE_DEVICES"
LISTED = {
    "two": "GPU 0: NVIDIA H100 (UUID: GPU-a)\nGPU 1: NVIDIA H100 (UUID: GPU-b)",
    "one": "GPU 0: NVIDIA H100 (UUID: GPU-a)",
    "MIG": "GPU 0: NVIDIA H100 (UUID: GPU-a)\n  MIG 1g.10gb Device 0: (UUID: MIG-c)",
}


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(VISIBLE, raising=False)


def has(monkeypatch: pytest.MonkeyPatch, folder: Path, lines: str) -> None:
    """Have nvidia-smi list these GPUs."""
    smi = folder / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n[ $1 = -L ] && cat <<END\n{lines}\nEND\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def shown(stack: ExitStack) -> str | None:
    return stack.enter_context(own_gpu()).get(VISIBLE)


def test_each_job_has_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    has(monkeypatch, tmp_path, LISTED["two"])
    with ExitStack() as outer:
        assert shown(outer) == "0"
        with ExitStack() as inner:
            assert shown(inner) == "1"
            assert not caplog.records
            assert shown(inner) == "0"  # shared
            assert "other jobs have all 2 GPUs; this job shares GPU 0" in caplog.text
        assert shown(outer) == "1"  # free again
    with ExitStack() as stack:
        assert shown(stack) == "0"


def test_a_job_that_was_killed_has_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VISIBLE, "0,1")
    program = (
        f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
        "from meanface.engine.gpu.devices import own_gpu\n"
        "with own_gpu() as shown: print(shown, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        assert "'0'" in job.stdout.readline()
        with ExitStack() as stack:
            assert shown(stack) == "1"
        job.kill()
    with ExitStack() as stack:
        assert shown(stack) == "0"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("3, 5", "3"), ("GPU-a,GPU-b", "GPU-a"), ("3", None), ("", None), ("MIG-GPU-a/1/0", None)],
)
def test_gpus_that_a_scheduler_hides_stay_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str, expected: str | None
) -> None:
    """None: the process sees what its parent sees."""
    has(monkeypatch, tmp_path, LISTED["two"])
    monkeypatch.setenv(VISIBLE, visible)
    with ExitStack() as stack:
        assert shown(stack) == expected


@pytest.mark.parametrize("machine", ["one", "MIG", None])
def test_where_there_is_nothing_to_choose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str | None
) -> None:
    if machine:
        has(monkeypatch, tmp_path, LISTED[machine])
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    with ExitStack() as stack:
        assert shown(stack) is None
        assert shown(stack) is None
    assert not list(tmp_path.glob("*.lock"))
