"""Handlers of Snakemake's log: photos done so far, why jobs failed, a run with nothing to do."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from meanface.errors import UserError
from meanface.files.json_files import read_json
from meanface.workflow import snakemake_internals as internals
from meanface.workflow.freshness import Results, Wanted, prepare
from meanface.workflow.integrity import remove_altered
from meanface.workflow.logs import reason_in
from meanface.workflow.progress import Progress


class StartHandler(logging.Handler):
    """Removes outdated and altered results when a run starts, before Snakemake looks at them.

    Only a real run logs its start: no lint, no report.
    """

    def __init__(self, results: Results, wanted: Wanted, records: Path | None, seen: Path) -> None:
        """Look at `results`, and at the files on `records` where these are on disk."""
        super().__init__()
        self.name = results.name
        self._results, self._wanted = results, wanted
        self._records, self._seen = records, seen

    def emit(self, record: logging.LogRecord) -> None:
        """Look at the results where the record tells of a start."""
        if getattr(record, "event", None) != LogEvent.WORKFLOW_STARTED:
            return
        try:
            prepare(self._results, self._wanted)
            altered = remove_altered(self._records, self._seen) if self._records else []
        except UserError as error:
            sys.exit(f"meanface: {error}")
        for file in altered:
            print(
                f"meanface: {file} was altered since it was made, and is removed to be made again",
                file=sys.stderr,
            )


class MessageHandler(logging.Handler):
    """Calls functions when Snakemake logs that there is nothing to do, or that its report is made.

    Snakemake itself calls no handler of the workflow then.
    """

    def __init__(
        self, name: str, *, nothing_to_do: Callable[[], None], reported: Callable[[], None]
    ) -> None:
        super().__init__()
        self.name = name
        self._calls = {
            internals.NOTHING_TO_BE_DONE: nothing_to_do,
            internals.REPORT_CREATED: reported,
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Call the function for the record's message, if there is one."""
        if isinstance(record.msg, str) and record.msg in self._calls:
            try:
                self._calls[record.msg]()
            except Exception:  # no run fails for what it shows
                self.handleError(record)


class ProgressHandler(logging.Handler):
    """Counts the photos of encode jobs as these finish. Logger plugins know of jobs alone.

    `rule` is the name of the rule encode in this run; `photos_of` gives the number of photos that a
    job has to encode, by its wildcards.
    """

    def __init__(
        self, workflow: internals.Workflow, rule: str, photos_of: Callable[[Any], int]
    ) -> None:
        super().__init__()
        self.name = rule
        self._workflow, self._rule, self._photos_of = workflow, rule, photos_of
        self._progress: Progress | None = None
        self._jobs: dict[int, Any] = {}
        self._began = 0.0
        self._bars: Any = None
        self._bar: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        """Begin with the first encode job; add the photos of each one that finished."""
        try:
            event = getattr(record, "event", None)
            if event == LogEvent.JOB_INFO and getattr(record, "rule_name", None) == self._rule:
                self._start()
            elif event == LogEvent.JOB_FINISHED and self._progress:
                self._finish(getattr(record, "job_id", -1), self._progress)
        except Exception:  # no run fails for what it shows
            self.handleError(record)

    def _start(self) -> None:
        """Count the photos of the run: all its jobs are known when the first one is logged."""
        if self._progress is None:
            jobs = internals.jobs_to_run(self._workflow, self._rule)
            self._jobs = {job.jobid: job for job in jobs}
            self._progress = Progress(sum(self._photos_of(job.wildcards) for job in jobs))
            self._bars = internals.rich_bars(self._workflow)
            self._began = monotonic()

    def _finish(self, jobid: int, progress: Progress) -> None:
        job = self._jobs.pop(jobid, None)
        if job is None:
            return
        counts = job.output.counts
        if internals.is_in_storage(counts):
            internals.fetch(counts)
        progress.done += self._photos_of(job.wildcards)
        progress.failed += read_json(Path(counts))["failed"]
        self._show(progress, progress.text(monotonic() - self._began))

    def _show(self, progress: Progress, text: str) -> None:
        """Show one more bar of the rich logger; without that logger, a line of the log."""
        if self._bars is None:
            internals.say(text)
            return
        if self._bar is None:
            self._bar = self._bars.add_task(text, total=progress.photos, active="")
        self._bars.update(self._bar, description=text, completed=progress.done)


class FailureHandler(logging.Handler):
    """Keeps the jobs that failed, each with its logs, until they are done after all."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        # By the number of the job: its rule or group, its own logs and what the cluster kept.
        self._failed: dict[int, tuple[str, tuple[str, ...]]] = {}

    def emit(self, record: Any) -> None:  # noqa: ANN401 - Snakemake adds attributes by event
        """Keep a job that failed, with its logs; forget a job that finished."""
        try:
            event = getattr(record, "event", None)
            # A group's jobs are logged once more, one by one and indented.
            if event == LogEvent.JOB_ERROR and not record.indent:
                self._failed[record.jobid] = record.rule_name, tuple(record.log)
            elif event == LogEvent.GROUP_ERROR:
                jobs = record.job_error_info
                logs = [log for job in jobs for log in job["log"]]
                failure = record.groupid, (*logs, *record.aux_logs)
                self._failed |= {job["jobid"]: failure for job in jobs}
            elif event == LogEvent.JOB_FINISHED:
                self._failed.pop(record.job_id, None)
        except Exception:  # no run fails for what it shows
            self.handleError(record)

    def reasons(self) -> dict[str, str]:
        """Give each reason for which jobs failed, with the first log that has the details."""
        reasons: dict[str, str] = {}
        for name, logs in dict.fromkeys(self._failed.values()):
            # A job whose log could not be written, as on a full disk, has printed its reason.
            written = [log for log in logs if Path(log).exists() and Path(log).stat().st_size]
            found = {log: reason_in(Path(log)) for log in written}
            told = {log: reason for log, reason in found.items() if reason}
            # A killed job could not say why. The log of the cluster comes last.
            ended = dict.fromkeys(written[-1:], f"{name} was ended")
            for log, reason in (told or ended).items():
                reasons.setdefault(reason, log)
        return reasons
