"""What the handlers of Snakemake's log make of the records that Snakemake logs."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from meanface.files.digest import file_digest
from meanface.workflow import handlers
from meanface.workflow import snakemake_internals as internals
from meanface.workflow.freshness import LocalResults, Wanted
from meanface.workflow.handlers import (
    FailureHandler,
    MessageHandler,
    ProgressHandler,
    StartHandler,
)

NOTHING_WANTED = Wanted({}, {}, "sample", False)


def record(event: LogEvent | None = None, message: str = "", **fields: object) -> Any:  # noqa: ANN401
    return logging.makeLogRecord({"event": event, "msg": message} | fields)


# --- failures -------------------------------------------------------------------------------------


def failed_job(jobid: int, rule: str, *logs: Path, indent: bool = False) -> Any:  # noqa: ANN401
    fields: dict[str, Any] = {
        "jobid": jobid,
        "rule_name": rule,
        "log": list(map(str, logs)),
        "indent": indent,
    }
    return record(LogEvent.JOB_ERROR, **fields)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_each_reason_is_told_once_with_the_first_log(tmp_path: Path) -> None:
    full = "2026-01-01 00:00:00,000 ERROR meanface: no space left\n"
    one, two = (write(tmp_path / name, full) for name in ("one.log", "two.log"))
    other = write(tmp_path / "other.log", "meanface: a shard is damaged (details in x)\n")
    handler = FailureHandler("results")
    for number, log in enumerate((one, two, other)):
        handler.emit(failed_job(number, "encode", log))
    assert handler.reasons() == {"no space left": str(one), "a shard is damaged": str(other)}


def test_a_job_that_was_done_in_the_end_is_no_failure(tmp_path: Path) -> None:
    log = write(tmp_path / "one.log", "meanface: no space left\n")
    handler = FailureHandler("results")
    handler.emit(failed_job(7, "encode", log))
    handler.emit(record(LogEvent.JOB_FINISHED, job_id=7))
    assert handler.reasons() == {}


def test_a_job_that_was_killed_is_told_with_the_log_of_the_cluster(tmp_path: Path) -> None:
    mine, cluster = (
        write(tmp_path / "mine.log", "begun\n"),
        write(tmp_path / "4711.log", "Killed\n"),
    )
    handler = FailureHandler("results")
    handler.emit(failed_job(1, "merge", mine, cluster))
    assert handler.reasons() == {"merge was ended": str(cluster)}


def test_a_job_that_could_write_no_log_has_told_by_itself(tmp_path: Path) -> None:
    handler = FailureHandler("results")
    handler.emit(failed_job(1, "merge", tmp_path / "missing.log", write(tmp_path / "empty", "")))
    assert handler.reasons() == {}


def test_a_group_is_told_by_the_logs_of_its_jobs(tmp_path: Path) -> None:
    logs = [write(tmp_path / f"{number}.log", "done\n") for number in range(2)]
    write(logs[1], "meanface: a shard is damaged\n")
    jobs = [{"jobid": number, "log": [str(log)]} for number, log in enumerate(logs)]
    handler = FailureHandler("results")
    handler.emit(
        record(LogEvent.GROUP_ERROR, groupid="encode", job_error_info=jobs, aux_logs=["4711.log"])
    )
    # Snakemake logs the jobs of a group once more.
    handler.emit(failed_job(0, "encode", logs[0], indent=True))
    assert handler.reasons() == {"a shard is damaged": str(logs[1])}


# --- messages and the start -----------------------------------------------------------------------


def test_messages_of_snakemake_call_what_belongs_to_them() -> None:
    calls: list[str] = []
    handler = MessageHandler(
        "results",
        nothing_to_do=lambda: calls.append("nothing"),
        reported=lambda: calls.append("report"),
    )
    for message in ("Building DAG", internals.NOTHING_TO_BE_DONE, internals.REPORT_CREATED):
        handler.emit(record(message=message))
    handler.emit(logging.makeLogRecord({"msg": {"a": 1}}))
    assert calls == ["nothing", "report"]


@pytest.mark.parametrize("message", [internals.NOTHING_TO_BE_DONE, internals.REPORT_CREATED])
def test_what_fails_while_it_shows_stops_no_run(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[logging.LogRecord] = []
    monkeypatch.setattr(MessageHandler, "handleError", lambda _, one: handled.append(one))

    def fail() -> None:
        raise OSError("full")

    MessageHandler("results", nothing_to_do=fail, reported=fail).emit(record(message=message))
    assert len(handled) == 1


def test_altered_results_go_when_a_run_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    (results / "logs").mkdir(parents=True)
    kept, altered = (write(results / name, name) for name in ("mean.npy", "faces.csv"))
    digests = {str(file): file_digest(file) for file in (kept, altered)}
    (results / "logs/merge.json").write_text(json.dumps(digests))
    # What another workflow keeps there is no record of ours.
    theirs = write(tmp_path / "theirs.csv", "x")
    (results / "logs/theirs.json").write_text(json.dumps({str(theirs): 3}))
    altered.write_text("other")
    handler = StartHandler(
        LocalResults(results, results / "logs"),
        NOTHING_WANTED,
        results / "logs",
        tmp_path / "seen.json",
        lambda sources: None,
    )
    handler.emit(record(LogEvent.RUN_INFO))
    assert altered.exists(), "before the run starts"
    handler.emit(record(LogEvent.WORKFLOW_STARTED))
    assert kept.exists()
    assert theirs.exists()
    assert not altered.exists()
    assert capsys.readouterr().err.startswith(f"meanface: {altered} was altered since it was made")


def test_a_folder_that_another_run_has_locked_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake refuses this run later, as test_faults.py shows for a run that was killed."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / ".snakemake/locks/0.input.lock", "")
    altered = write(tmp_path / "results/faces.csv", "other")
    (tmp_path / "results/logs").mkdir()
    record_file = tmp_path / "results/logs/merge.json"
    record_file.write_text(json.dumps({str(altered): "0" * 64}))
    results = LocalResults(tmp_path / "results", tmp_path / "results/logs")
    seen = tmp_path / "seen.json"
    handler = StartHandler(
        results, NOTHING_WANTED, tmp_path / "results/logs", seen, lambda sources: None
    )
    handler.emit(record(LogEvent.WORKFLOW_STARTED))
    assert altered.exists()
    assert altered.stat().st_mtime != 1


# --- progress -------------------------------------------------------------------------------------

Emit = Callable[..., None]


@pytest.fixture
def jobs(tmp_path: Path) -> list[Any]:
    """Three encode jobs of a run, each of which has counted its photos."""
    made = []
    for number, failed in enumerate((0, 2, 1)):
        counts = tmp_path / f"{number}.json"
        counts.write_text(json.dumps({"failed": failed}))
        file = type("File", (type(counts),), {"is_storage": False})(counts)
        made.append(
            SimpleNamespace(
                jobid=number,
                rule=SimpleNamespace(name="mf_encode"),
                wildcards=SimpleNamespace(shard=number),
                output=SimpleNamespace(counts=file),
            )
        )
    other = SimpleNamespace(jobid=9, rule=SimpleNamespace(name="mf_merge"))
    return [*made, other]


@pytest.fixture
def emit(jobs: list[Any], monkeypatch: pytest.MonkeyPatch) -> Emit:
    """Gives records to a handler of a run with these jobs of 10, 20 and 30 photos."""
    clock = iter((100.0, 102.0, 105.0))
    monkeypatch.setattr(handlers, "monotonic", lambda: next(clock))
    workflow = SimpleNamespace(
        dag=SimpleNamespace(needrun_jobs=lambda: jobs),
        logger_manager=SimpleNamespace(get_log_handlers=lambda: []),
    )
    handler = ProgressHandler(workflow, "mf_encode", lambda one: 10 * (one.shard + 1))

    def emitted(event: LogEvent, **fields: Any) -> None:  # noqa: ANN401
        handler.emit(record(event, **fields))

    return emitted


def test_photos_are_counted_as_their_jobs_finish(
    emit: Emit, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(internals, "say", shown.append)
    emit(LogEvent.JOB_FINISHED, job_id=9)
    emit(LogEvent.JOB_INFO, rule_name="mf_merge")
    emit(LogEvent.JOB_INFO, rule_name="mf_encode")
    emit(LogEvent.JOB_INFO, rule_name="mf_encode")
    emit(LogEvent.JOB_FINISHED, job_id=1)
    emit(LogEvent.JOB_FINISHED, job_id=1)
    emit(LogEvent.JOB_FINISHED, job_id=9)
    emit(LogEvent.JOB_FINISHED, job_id=2)
    assert shown == [
        "20 of 60 photos, 10.0/s, 00:04 left, 2 failed",
        "50 of 60 photos, 10.0/s, 00:01 left, 3 failed",
    ]


def test_a_bar_is_shown_where_the_rich_logger_has_bars(
    emit: Emit, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, int]] = []

    class Bars:
        def add_task(self, text: str, *, total: int, active: str) -> int:
            assert (total, active) == (60, "")
            return 5

        def update(self, bar: int, *, description: str, completed: int) -> None:
            assert bar == 5
            shown.append((description, completed))

    monkeypatch.setattr(internals, "rich_bars", lambda _: Bars())
    emit(LogEvent.JOB_INFO, rule_name="mf_encode")
    emit(LogEvent.JOB_FINISHED, job_id=0)
    emit(LogEvent.JOB_FINISHED, job_id=1)
    assert [completed for _, completed in shown] == [10, 30]
    assert shown[0][0].startswith("10 of 60 photos")


def test_counts_that_cannot_be_read_stop_no_run(
    emit: Emit, jobs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[logging.LogRecord] = []
    monkeypatch.setattr(ProgressHandler, "handleError", lambda _, one: handled.append(one))
    jobs[0].output.counts.unlink()
    emit(LogEvent.JOB_INFO, rule_name="mf_encode")
    emit(LogEvent.JOB_FINISHED, job_id=0)
    assert len(handled) == 1
