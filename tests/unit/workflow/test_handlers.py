"""What the handlers of Snakemake's log make of the records that Snakemake logs."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

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
        stopped=lambda: calls.append("stop"),
    )
    known = (internals.NOTHING_TO_BE_DONE, internals.REPORT_CREATED, *internals.STOPPED)
    for message in ("Building DAG", *known):
        handler.emit(record(message=message))
    handler.emit(logging.makeLogRecord({"msg": {"a": 1}}))
    assert calls == ["nothing", "report", "stop", "stop"]


@pytest.mark.parametrize("message", [internals.NOTHING_TO_BE_DONE, internals.REPORT_CREATED])
def test_what_fails_while_it_shows_stops_no_run(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[logging.LogRecord] = []
    monkeypatch.setattr(MessageHandler, "handleError", lambda _, one: handled.append(one))

    def fail() -> None:
        raise OSError("full")

    handler = MessageHandler("results", nothing_to_do=fail, reported=fail, stopped=fail)
    handler.emit(record(message=message))
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
    assert (results / "faces.altered-1.csv").read_text() == "other"
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


class Followed(NamedTuple):
    """A run of three encode jobs of 10, 20 and 30 photos, as a handler follows it."""

    handler: ProgressHandler
    jobs: list[Any]
    running: set[Any]
    clock: list[float]

    def emit(self, event: LogEvent, **fields: Any) -> None:  # noqa: ANN401
        self.handler.emit(record(event, **fields))

    def start(self) -> None:
        self.emit(LogEvent.JOB_INFO, rule_name="mf_encode")

    def finish(self, number: int, seconds: float) -> None:
        self.clock[0] += seconds
        self.emit(LogEvent.JOB_FINISHED, job_id=number)

    def tell(self, number: int, done: int, failed: int, seconds: float) -> None:
        """Have a running job log how far it is, and look."""
        self.clock[0] += seconds
        job = self.jobs[number]
        write(Path(job.log[0]), f"x INFO progress: {done} photos done, {failed} failed\n")
        self.running.add(job)
        self.handler.look()


class Job(SimpleNamespace):
    """A job, as Snakemake knows it."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def is_group(self) -> bool:
        return hasattr(self, "jobs")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    jobs = []
    for number, failed in enumerate((0, 2, 1)):
        counts = write(tmp_path / f"{number}.json", json.dumps({"failed": failed}))
        file = type("File", (type(counts),), {"is_storage": False})(counts)
        jobs.append(
            Job(
                jobid=number,
                rule=SimpleNamespace(name="mf_encode"),
                wildcards=SimpleNamespace(shard=number),
                output=SimpleNamespace(counts=file),
                log=[str(tmp_path / f"{number}.log")],
            )
        )
    jobs.append(Job(jobid=9, rule=SimpleNamespace(name="mf_merge"), log=[]))
    clock = [100.0]
    running: set[Any] = set()
    monkeypatch.setattr(handlers, "monotonic", lambda: clock[0])
    monkeypatch.setattr(handlers, "time", lambda: 0.0)
    monkeypatch.setattr(handlers, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    workflow = SimpleNamespace(
        dag=SimpleNamespace(needrun_jobs=lambda: jobs),
        logger_manager=SimpleNamespace(get_log_handlers=lambda: []),
        scheduler=SimpleNamespace(running=running),
    )
    handler = ProgressHandler(workflow, "mf_encode", lambda one: 10 * (one.shard + 1))
    yield Followed(handler, jobs, running, clock)
    handler.end()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines in the log of a run without a terminal."""
    lines: list[str] = []
    monkeypatch.setattr(internals, "say", lines.append)
    return lines


def test_photos_are_counted_as_their_jobs_finish(run: Followed, said: list[str]) -> None:
    run.emit(LogEvent.JOB_FINISHED, job_id=9)
    run.emit(LogEvent.JOB_INFO, rule_name="mf_merge")
    run.start()
    run.start()
    run.finish(1, 40)
    run.finish(1, 40)
    run.finish(9, 1)
    run.finish(2, 19)
    run.finish(0, 20)
    assert said == [
        "20 of 60 photos, 0.5/s, 01:20 left, 2 failed",
        "50 of 60 photos, 0.5/s, 00:20 left, 3 failed",
        "60 of 60 photos, 0.5/s, 00:00 left, 3 failed",
    ]


def test_a_log_gets_a_line_every_30_seconds_and_one_at_the_end(
    run: Followed, said: list[str]
) -> None:
    run.start()
    for number in (0, 1):
        run.finish(number, 10)
    assert said == []
    run.tell(2, 5, 0, 9)
    assert said == []
    run.tell(2, 6, 1, 1)
    assert said == ["36 of 60 photos, 1.2/s, 00:20 left, 3 failed"]
    run.finish(2, 10)
    assert said[1:] == ["60 of 60 photos, 1.5/s, 00:00 left, 3 failed"]


def test_no_number_falls_when_a_job_is_tried_again(run: Followed, said: list[str]) -> None:
    run.start()
    run.tell(2, 20, 4, 30)
    run.tell(2, 3, 0, 30)
    run.tell(1, 2, 0, 30)
    run.tell(2, 29, 4, 30)
    run.tell(2, 99, 4, 30)  # no more than the job has
    assert [line.split(", ")[0] for line in said] == [
        f"{n} of 60 photos" for n in (20, 20, 20, 31, 32)
    ]
    assert all(line.endswith(" 4 failed") for line in said)


def test_a_log_of_an_earlier_run_says_nothing(
    run: Followed, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "time", lambda: 1e12)
    run.start()
    run.tell(2, 20, 4, 30)
    assert said == ["0 of 60 photos, 0 failed"]


def test_jobs_of_a_group_and_of_other_rules(run: Followed, said: list[str]) -> None:
    run.start()
    run.running.add(Job(jobs=run.jobs[:2]))
    run.running.add(run.jobs[3])
    write(Path(run.jobs[0].log[0]), "progress: 7 photos done, 1 failed\n")
    run.tell(2, 1, 0, 30)
    assert said == ["8 of 60 photos, 0.3/s, 03:15 left, 1 failed"]


def test_a_bar_is_shown_where_the_rich_logger_has_bars(
    run: Followed, monkeypatch: pytest.MonkeyPatch
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
    run.start()
    run.tell(2, 4, 1, 1)
    run.finish(0, 1)
    run.finish(1, 1)
    assert [completed for _, completed in shown] == [4, 14, 34]
    assert shown[0][0].startswith("4 of 60 photos")


def test_counts_that_cannot_be_read_stop_no_run(
    run: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[logging.LogRecord] = []
    monkeypatch.setattr(ProgressHandler, "handleError", lambda _, one: handled.append(one))
    run.jobs[0].output.counts.unlink()
    run.start()
    run.finish(0, 1)
    assert len(handled) == 1
