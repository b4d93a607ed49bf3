"""Handlers of Snakemake's log: a start, progress, failed jobs, a run with nothing to do."""

import logging
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Event, Thread
from time import monotonic, thread_time, time
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from meanface.errors import UserError
from meanface.files.json_files import read_json
from meanface.workflow import snakemake_internals as internals
from meanface.workflow.freshness import (
    Records,
    Results,
    Wanted,
    check_exclude,
    check_photos,
    outdated_sources,
    remove_outdated,
)
from meanface.workflow.integrity import remove_altered
from meanface.workflow.logs import progress_in, reason_in
from meanface.workflow.progress import Progress

_PAUSE = 1.0
"""Seconds between two looks at the logs of running jobs."""
_SHARE = 400
"""A look may take one part in so many of the time, so that 3,000 logs cost no more than one."""
_SECONDS_PER_LINE = 30.0
"""Where there is no terminal."""


class StartHandler(logging.Handler):
    """Removes outdated and altered results when a run starts, before Snakemake looks at them.

    Only a real run logs a start. Linting and making a report do not.
    """

    def __init__(
        self,
        results: Results,
        wanted: Wanted,
        records: Path | None,
        seen: Path,
        make_again: Callable[[list[str]], None],
        directory: Path = Path(),
    ) -> None:
        """Prepare to check `results` and, if there are `records`, the files in these records.

        `directory` is the working directory, as seen from where the command was given.

        `make_again` has Snakemake make the JSON files of the named sources again.
        """
        super().__init__()
        self.name = results.name
        self._make_again, self._directory = make_again, directory
        self._results, self._wanted = results, wanted
        self._records, self._seen = records, seen

    def emit(self, record: logging.LogRecord) -> None:
        """Check the results if the record logs the start of a run."""
        if getattr(record, "event", None) != LogEvent.WORKFLOW_STARTED:
            return
        try:
            known = Records.read(self._results, self._wanted)
            check_photos(known, self._wanted, self._results.name)
            check_exclude(known, self._wanted, self._results.name)
            self._make_again(outdated_sources(known, self._wanted))
            if internals.is_locked():  # another run may be at work: Snakemake itself will tell
                return
            self._results.forget()
            altered = remove_altered(self._records, self._seen) if self._records else {}
            remove_outdated(self._results, known, self._wanted)
        except UserError as error:
            sys.exit(f"meanface: {error}")
        except OSError as error:
            sys.exit(f"meanface: {error.filename}: cannot be removed: {error.strerror}")
        for file, kept in altered.items():
            what = f"renamed to {kept.name}" if kept else "removed"
            print(
                f"meanface: {self._directory / file} was altered since it was made, "
                f"and is {what} to be made again",
                file=sys.stderr,
            )


class MessageHandler(logging.Handler):
    """Calls a function when Snakemake logs that nothing is to do, the report is made, or it stops.

    Snakemake calls no handler of the workflow then, or onerror, as for a failed run.
    """

    def __init__(
        self,
        name: str,
        *,
        nothing_to_do: Callable[[], None],
        reported: Callable[[], None],
        stopped: Callable[[], None],
    ) -> None:
        super().__init__()
        self.name = name
        self._calls = {
            internals.NOTHING_TO_BE_DONE: nothing_to_do,
            internals.REPORT_CREATED: reported,
            **dict.fromkeys(internals.STOPPED, stopped),
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Call the function for the record's message, if there is one."""
        if isinstance(record.msg, str) and record.msg in self._calls:
            try:
                self._calls[record.msg]()
            except Exception:  # no run fails for what it shows
                self.handleError(record)


class ProgressHandler(logging.Handler):
    """Counts the photos of encode jobs as they are encoded. Logger plugins count jobs only.

    `rule` is the name of the rule encode in this run. `photos_of` takes the wildcards of a job, and
    gives the number of photos that the job has to encode. A running job tells in its log how far it
    is. Where the log of a job comes late, as from a pod, its photos count when it has finished.
    """

    def __init__(
        self, workflow: internals.Workflow, rule: str, photos_of: Callable[[Any], int]
    ) -> None:
        super().__init__()
        self.name = rule
        self._workflow, self._rule, self._photos_of = workflow, rule, photos_of
        self._progress: Progress | None = None
        self._jobs: dict[int, Any] = {}
        self._began, self._began_at = 0.0, 0.0
        self._said = 0.0
        self._bars: Any = None
        self._bar: Any = None
        self._ended = Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Start at the first encode job; add the photos of each finished encode job."""
        try:
            event = getattr(record, "event", None)
            if event == LogEvent.JOB_INFO and getattr(record, "rule_name", None) == self._rule:
                self._start()
            elif event == LogEvent.JOB_FINISHED and self._progress:
                self._finish(getattr(record, "job_id", -1), self._progress)
        except Exception:  # no run fails for what it shows
            self.handleError(record)

    def look(self) -> None:
        """Read in the logs of running jobs how far they are, and show it."""
        progress = self._progress
        if progress is None:
            return
        running = [job for job in internals.running_jobs(self._workflow) if job.jobid in self._jobs]
        for job in running:
            done, failed = progress_in(Path(job.log[0]), self._began_at)
            progress.runs(job.jobid, min(done, self._photos_of(job.wildcards)), failed)
        self._show(progress)

    def end(self) -> None:
        """Show nothing any more."""
        self._ended.set()

    def _start(self) -> None:
        """Count the photos of the run. All jobs are known when the first job is logged."""
        if self._progress is None:
            jobs = internals.jobs_to_run(self._workflow, self._rule)
            self._jobs = {job.jobid: job for job in jobs}
            self._progress = Progress(sum(self._photos_of(job.wildcards) for job in jobs))
            self._bars = internals.rich_bars(self._workflow)
            self._began, self._began_at = monotonic(), time()
            self._said = self._began
            Thread(target=self._look_again_and_again, daemon=True).start()

    def _look_again_and_again(self) -> None:
        pause = _PAUSE
        while not self._ended.wait(pause):
            began = thread_time()
            with self.lock or nullcontext(), internals.cosmetic("progress within a shard"):
                self.look()
            pause = max(_PAUSE, _SHARE * (thread_time() - began))

    def _finish(self, jobid: int, progress: Progress) -> None:
        job = self._jobs.pop(jobid, None)
        if job is None:
            return
        counts = job.output.counts
        if internals.is_in_storage(counts):
            internals.fetch(counts)
        progress.finish(jobid, self._photos_of(job.wildcards), read_json(Path(counts))["failed"])
        self._show(progress, is_last=not self._jobs)
        if not self._jobs:
            self.end()

    def _show(self, progress: Progress, *, is_last: bool = False) -> None:
        """Update a bar of the rich logger or, without this logger, write a line now and then."""
        now = monotonic()
        text = progress.text(now - self._began)
        if self._bars is not None:
            if self._bar is None:
                self._bar = self._bars.add_task(text, total=progress.photos, active="")
            self._bars.update(self._bar, description=text, completed=progress.done)
        elif is_last or now - self._said >= _SECONDS_PER_LINE:
            self._said = now
            internals.say(text)


class FailureHandler(logging.Handler):
    """Keeps the failed jobs with their logs. A job that succeeds in a retry is dropped."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        # By job number: the rule or group, and the logs of the job and of the cluster.
        self._failed: dict[int, tuple[str, tuple[str, ...]]] = {}

    def emit(self, record: Any) -> None:  # noqa: ANN401 - Snakemake adds attributes by event
        """Keep a job that failed, with its logs; forget a job that finished."""
        try:
            event = getattr(record, "event", None)
            # The jobs of a group are logged again one by one, indented.
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
        """Give each reason why jobs failed, with the first log that has the details."""
        reasons: dict[str, str] = {}
        for name, logs in dict.fromkeys(self._failed.values()):
            # If a job cannot write its log (a full disk), the job prints the reason.
            written = [log for log in logs if Path(log).exists() and Path(log).stat().st_size]
            found = {log: reason_in(Path(log)) for log in written}
            told = {log: reason for log, reason in found.items() if reason}
            # A killed job gives no reason. The log of the cluster comes last.
            ended = dict.fromkeys(written[-1:], f"{name} was ended")
            for log, reason in (told or ended).items():
                reasons.setdefault(reason, log)
        return reasons
