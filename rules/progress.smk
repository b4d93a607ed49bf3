"""Show how far the photos are as shards finish, and the summary where nothing is to be done."""

import logging
from time import monotonic

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_rich import LogHandler as RichHandler

from meanface.workflow.progress import Progress

# What Snakemake logs after the report, which it makes after the summary was shown.
REPORT_CREATED_MSG = "Report created."


class ProgressHandler(logging.Handler):
    """Counts the photos of encode jobs as these finish; logger plugins know of jobs alone."""

    progress = None
    bar = None

    def emit(self, record):
        try:
            event = getattr(record, "event", None)
            if event == LogEvent.JOB_INFO and record.rule_name == "encode":
                self.start()
            elif event == LogEvent.JOB_FINISHED and self.progress:
                self.finish(record.job_id)
            elif record.msg == NOTHING_TO_BE_DONE_MSG:
                finish()
            elif record.msg == REPORT_CREATED_MSG:
                print_report()
        except Exception:  # no run fails for what it shows
            self.handleError(record)

    def start(self):
        """At the first encode job it is known which others there are in this run."""
        if self.progress is None:
            jobs = [
                job for job in workflow.dag.needrun_jobs() if job.rule.name == "encode"
            ]
            self.jobs = {job.jobid: job for job in jobs}
            self.progress = Progress(sum(map(photos_of, jobs)))
            self.began = monotonic()

    def finish(self, jobid):
        """Add the job's photos, and show it."""
        job = self.jobs.pop(jobid, None)
        if job:
            if job.output.counts.is_storage:
                fetch(job.output.counts)
            self.progress.done += photos_of(job)
            self.progress.failed += read_json(Path(job.output.counts))["failed"]
            self.show(self.progress.text(monotonic() - self.began))

    def show(self, text):
        """Show it as one more bar of the rich logger; without that, as a line of the log."""
        handlers = workflow.logger_manager.get_log_handlers()
        bars = next(
            (one.progress for one in handlers if isinstance(one, RichHandler)), None
        )
        if bars is None:
            logger.info(text)
        else:
            if self.bar is None:
                self.bar = bars.add_task(text, total=self.progress.photos, active="")
            bars.update(self.bar, description=text, completed=self.progress.done)


def photos_of(job):
    """How many photos an encode job has to encode."""
    plan = planned(job.wildcards)
    return plan.contents if plan else 0


if workflow.is_main_process and not workflow.output_settings.dryrun:
    logger.addHandler(ProgressHandler())
