"""The memory of an encode job."""

import pytest

from meanface.workflow.memory import GPU_PROCESS_MB, JOB_MB, encode_mb, process_bytes


@pytest.mark.parametrize(
    ("threads", "device", "megabytes"),
    [(1, "cpu", 2150), (4, "cpu", 7550), (1, "cuda", 10_150), (16, "cuda", 37_150)],
)
def test_what_a_job_asks_for_with_the_default_max_pixels(
    threads: int, device: str, megabytes: int
) -> None:
    assert encode_mb(threads, device, 50_000_000) == megabytes


@pytest.mark.parametrize(("device", "beside"), [("cpu", JOB_MB), ("cuda", JOB_MB + GPU_PROCESS_MB)])
def test_the_processes_share_what_the_job_has(device: str, beside: int) -> None:
    asked = encode_mb(3, device, 50_000_000)
    each = process_bytes(asked, 3, device)
    assert each == 1_800_000_000
    assert beside + 3 * each // 1_000_000 == asked


def test_a_process_can_open_the_models_however_little_the_job_has() -> None:
    assert process_bytes(500, 1, "cpu") == process_bytes(100, 4, "cpu") == 200_000_000
    assert process_bytes(8000, 16, "cuda") == 200_000_000
