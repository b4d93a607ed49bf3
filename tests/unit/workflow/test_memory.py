"""The memory of an encode job."""

import pytest

from meanface.workflow.memory import JOB_MB, encode_mb, process_bytes


@pytest.mark.parametrize(
    ("threads", "device", "megabytes"),
    [(1, "cpu", 2150), (4, "cpu", 7550), (1, "cuda", 5150)],
)
def test_what_a_job_asks_for_with_the_default_max_pixels(
    threads: int, device: str, megabytes: int
) -> None:
    assert encode_mb(threads, device, 50_000_000) == megabytes


def test_the_processes_share_what_the_job_has() -> None:
    asked = encode_mb(3, "cpu", 50_000_000)
    each = process_bytes(asked, 3)
    assert each == 1_800_000_000
    assert JOB_MB + 3 * each // 1_000_000 == asked


def test_a_process_can_open_the_models_however_little_the_job_has() -> None:
    assert process_bytes(500, 1) == process_bytes(100, 4) == 200_000_000
