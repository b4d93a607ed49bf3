"""What a user sees of a run: the start, the progress, and the summary or the failures."""

import atexit
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from meanface.engine.gpu_check import check_gpu
from meanface.engine.processor import is_fast_at_int8
from meanface.engine.settings import licence_note
from meanface.errors import UserError
from meanface.files.json_files import read_json
from meanface.workflow import snakemake_internals as internals
from meanface.workflow.cleanup import remove_names, remove_photos
from meanface.workflow.command_line import check_directory, check_targets
from meanface.workflow.exclude import remove_left_over, remove_receipt
from meanface.workflow.freshness import LocalResults, Results, Wanted
from meanface.workflow.handlers import (
    FailureHandler,
    MessageHandler,
    ProgressHandler,
    StartHandler,
)
from meanface.workflow.integrity import note_states
from meanface.workflow.logs import from_here
from meanface.workflow.summary import summary_text

PICTURES_OF_PHOTOS = ("mean_face", "extremes", "failures")
"""The names of the pictures that show photos, of the target pictures."""


class Run:
    """What the workflow does when a run starts, succeeds or fails.

    `summary` is the file of merge's summary, `encode` the name of the rule encode in this run.
    `photos_of` takes the wildcards of an encode job, and gives the number of photos that the job
    has to encode. `wanted` is what the results are made of. `needs_gpu`: encode jobs fail without
    a GPU. `questions` maps a target to the rules whose params say what was asked.

    Snakemake calls `start`, `succeed` and `fail` (onstart, onsuccess, onerror). The process that
    the user started calls `watch`.
    """

    def __init__(
        self,
        workflow: internals.Workflow,
        config: Mapping[str, Any],
        summary: internals.File,
        encode: str,
        photos_of: Callable[[Any], int],
        wanted: Wanted,
        *,
        needs_gpu: bool,
        questions: Mapping[str, Sequence[Any]],
    ) -> None:
        self._encode = encode
        self._wanted, self._needs_gpu, self._questions = wanted, needs_gpu, questions
        self._workflow, self._config, self._summary = workflow, config, summary
        self._in_storage = internals.storage_provider(workflow) is not None
        self._directory = internals.directory(workflow)
        self._results = Path("results") if self._in_storage else Path(summary).parent
        self._records = self._results / "logs"
        self._seen = Path(".snakemake/meanface.json")
        self._was_stopped = False
        self._failures = FailureHandler(encode)
        self._progress = ProgressHandler(workflow, encode, photos_of)

    def watch(self) -> None:
        """Check and set up a run before it starts, and watch Snakemake's log from now on."""
        if not internals.is_imported(self._workflow):
            internals.before_run(self._workflow, self._set_up)
        if internals.is_dry_run(self._workflow):
            return
        messages = MessageHandler(
            str(self._results),
            nothing_to_do=self._finish,
            reported=self._print_report,
            stopped=self._note_stop,
        )
        for handler in (self._progress, self._failures, messages):
            internals.add_handler(handler)
        name = str(self._directory / self._results)
        results: Results = LocalResults(self._results, self._records, name)
        if self._in_storage:
            results = internals.StoredResults(self._workflow, str(self._results))
        records = None if self._in_storage else self._records
        internals.add_handler(
            StartHandler(
                results, self._wanted, records, self._seen, self._make_again, self._directory
            )
        )

    def start(self) -> None:
        """Before the first job: check the GPU, and say what the weights may not be used for.

        The end of the run, not each job, prints why jobs failed.
        """
        if (
            self._needs_gpu
            and internals.runs_jobs_here(self._workflow)
            and internals.may_run(self._workflow, self._encode)
        ):
            try:
                check_gpu()
            except UserError as error:
                sys.exit(f"meanface: {error}")
        os.environ["MEANFACE_QUIET"] = "1"
        if note := licence_note(self._config):
            print(f"meanface: {note}", file=sys.stderr)
        if self._config["precision"] == "int8" and not is_fast_at_int8():
            print(
                "meanface: precision: int8 may gain no time on this processor, which has no"
                " instructions for integers of 8 bits",
                file=sys.stderr,
            )
        internals.look_only_when_a_job_ends(self._workflow)
        internals.end_when_asked(self._workflow)

    def succeed(self) -> None:
        """After a run that succeeded: remove unwanted photos, show the summary."""
        self._finish()
        self._note_results()

    def fail(self) -> None:
        """After a run that failed: print a line for each reason, after Snakemake's last line."""
        self._progress.end()
        if self._was_stopped:  # the first that is registered is printed last
            told = "meanface: the run was stopped; to resume, repeat the same command"
            atexit.register(print, told, file=sys.stderr)
        for reason, log in self._failures.reasons().items():
            told, details = from_here(reason, self._directory), self._directory / log
            atexit.register(print, f"meanface: {told} (details in {details})", file=sys.stderr)
        self._note_results()

    def _set_up(self) -> None:
        try:
            check_directory()
            check_targets(internals.targets(self._workflow), internals.rule_names(self._workflow))
        except UserError as error:
            sys.exit(f"meanface: {error}")
        internals.look_at_params_and_inputs(self._workflow)
        internals.force_unrecorded(self._workflow, self._questions)

    def _finish(self) -> None:
        """Remove photos that the configuration does not want, and show the summary.

        A run with other targets may have no summary.
        """
        try:
            self._remove_unwanted()
        except OSError as error:
            sys.exit(f"meanface: {error.filename} cannot be removed: {error.strerror}; remove it")
        summary, folder = Path(self._summary), str(self._results.resolve())
        if internals.exists_in_storage(self._summary):
            internals.fetch(self._summary)
            folder = internals.address_of(self._summary).rpartition("/")[0]
        if summary.exists():
            text = summary_text(read_json(summary), folder, os.environ["MEANFACE_RUN"])
            print(from_here(text, self._directory))

    def _remove_unwanted(self) -> None:
        if not self._config["pictures"]:
            remove_photos(self._results, (*PICTURES_OF_PHOTOS, "find"))
        if not self._config["paths"]:
            remove_names(self._results)
        if self._config["exclude"]:
            made = internals.files_made(self._workflow)
            remove_left_over(self._results, self._records, made)
        else:
            remove_receipt(self._results)

    def _note_stop(self) -> None:
        self._was_stopped = True

    def _print_report(self) -> None:
        """Show the path of Snakemake's own report, if it is where `make provenance` writes it."""
        page = (self._results / "provenance.html").resolve()
        if page.exists():
            print(f"  report  {page}")

    def _note_results(self) -> None:
        """Keep the states of the results, so that the next run need not read all results."""
        if not self._in_storage:
            note_states(self._records, self._seen)

    def _make_again(self, sources: list[str]) -> None:
        files = [f"{self._results}/sources/{name}.json" for name in sources]
        internals.force(self._workflow, files)
