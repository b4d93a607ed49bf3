"""Tell at the end of a run why jobs failed, and where the details are."""

import logging

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from meanface.workflow.logs import reason_in


class FailureHandler(logging.Handler):
    """Keeps the jobs that failed, each with its logs, until they are done after all."""

    def __init__(self):
        super().__init__()
        # By the number of the job: its rule or group, its own logs and what the cluster kept.
        self.failed = {}

    def emit(self, record):
        try:
            event = getattr(record, "event", None)
            # A group's jobs are told of once more, one by one and indented.
            if event == LogEvent.JOB_ERROR and not record.indent:
                self.failed[record.jobid] = record.rule_name, tuple(record.log)
            elif event == LogEvent.GROUP_ERROR:
                jobs = record.job_error_info
                logs = [log for job in jobs for log in job["log"]]
                failure = record.groupid, (*logs, *record.aux_logs)
                self.failed |= {job["jobid"]: failure for job in jobs}
            elif event == LogEvent.JOB_FINISHED:
                self.failed.pop(record.job_id, None)
        except Exception:  # no run fails for what it shows
            self.handleError(record)

    def print(self):
        """Print a line for each reason, with the first log that gives it."""
        told = {}
        for name, logs in dict.fromkeys(self.failed.values()):
            # One whose log could not be written, as on a full disk, has told by itself.
            written = [
                log for log in logs if Path(log).exists() and Path(log).stat().st_size
            ]
            reasons = {log: reason_in(Path(log)) for log in written}
            found = {log: reason for log, reason in reasons.items() if reason}
            # Killed, it could not say why; the log of the cluster comes last.
            ended = {log: f"{name} was ended" for log in written[-1:]}
            for log, reason in (found or ended).items():
                told.setdefault(reason, log)
        for reason, log in told.items():
            print(f"meanface: {reason} (details in {log})", file=sys.stderr)


FAILURES = FailureHandler()
if workflow.is_main_process and not workflow.output_settings.dryrun:
    logger.addHandler(FAILURES)
    # Jobs leave it to the end of the run to tell.
    os.environ |= {"MEANFACE_QUIET": "1"}
