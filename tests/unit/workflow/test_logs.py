"""The log of a job: how far the job is, and paths in messages."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meanface.engine.outcome import Failure, Outcome
from meanface.workflow.logs import from_here, log_progress, log_to, progress_in

FAILED = Failure("no_face", "")
ENCODED: Outcome = []


def test_a_job_tells_once_a_second_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    log = tmp_path / "a.log"
    told = []

    def batches() -> Iterator[list[Outcome]]:
        all_batches: list[list[Outcome]] = [[ENCODED] * 3, [FAILED, ENCODED], [ENCODED], [FAILED]]
        for batch in all_batches:
            clock[0] += 0.6
            yield batch

    with log_to(str(log)):
        for _ in log_progress(batches()):
            told.append(progress_in(log, since=0))
        logging.warning("x" * 1000)
        assert progress_in(log, since=0) == (7, 2)
    assert told == [(0, 0), (5, 1), (5, 1), (7, 2)]
    assert log.read_text().count("progress: ") == 2


def test_an_old_log_and_a_missing_one_tell_nothing(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert progress_in(log, since=0) == (0, 0)
    log.write_text("x INFO progress: 3 photos done, 1 failed\n")
    os.utime(log, (99, 99))
    assert progress_in(log, since=99) == (3, 1)
    assert progress_in(log, since=100) == (0, 0)


def test_paths_are_right_from_where_the_command_was_given() -> None:
    told = "results/shards/a.csv changed; delete results/x.npy, not /b/results/y or .snakemake/z"
    there = Path("../my \\\\1 out")
    assert from_here(told, there) == (
        f"{there}/results/shards/a.csv changed; delete {there}/results/x.npy, "
        f"not /b/results/y or {there}/.snakemake/z"
    )
    assert from_here(told, Path()) == told
