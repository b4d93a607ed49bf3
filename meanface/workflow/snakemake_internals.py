"""Every use of what Snakemake and its plugins do not document, each with its reason.

Versions: Snakemake 9.27.1, snakemake-logger-plugin-rich 0.5.1. Each function names the one in which
it was last seen to be needed. tests/unit/workflow/test_snakemake_internals.py fails where a new
version differs, or no longer needs the function.

What a run only shows, or only gains speed by, never stops a run: see `cosmetic`.
"""

import gc
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, TypeAlias

from snakemake.logging import logger
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from meanface.files.json_files import read_json

Workflow: TypeAlias = Any
"""`snakemake.workflow.Workflow`: the object `workflow` of rule files. Snakemake has no types."""

File: TypeAlias = Any
"""A file of a rule, as `rules.merge.output.summary`: a path that may stand for one in storage."""

NOTHING_TO_BE_DONE = "Nothing to be done (all requested files are present and up to date)."
"""What Snakemake logs where no job is due. No handler of the workflow is called then. 9.27.1."""

REPORT_CREATED = "Report created."
"""What Snakemake logs after --report-after-run, which comes after onsuccess. 9.27.1."""


@contextmanager
def cosmetic(what: str) -> Iterator[None]:
    """Log in a line that `what` is missing where the block fails, and go on."""
    try:
        yield
    except Exception as error:  # whatever a new version raises
        logger.info(f"meanface: {what}: not with this version of Snakemake: {error!r}")


# --- what kind of process and run this is ---------------------------------------------------------


def folder(workflow: Workflow) -> Path | None:
    """Give the folder of the rule file that is being read; None where it is not on disk. 9.27.1.

    `workflow.basedir` is the folder of the workflow that imports this one, if there is one, and
    `workflow.source_path` gives copies. Files from a code hosting provider are in no folder.
    """
    base = workflow.current_basedir
    return Path(base.get_path_or_uri(secret_free=True)) if base.is_local else None


def is_main_process(workflow: Workflow) -> bool:
    """Tell the process that the user started from those that run its jobs. 9.27.1.

    Both read the rule files. Only the first one looks at the photos, and shows something.
    """
    return bool(workflow.is_main_process)


def is_dry_run(workflow: Workflow) -> bool:
    """Tell whether the run only shows what it would do (`--dry-run`). 9.27.1.

    Rule files are read in dry runs too, which must not remove or note anything.
    """
    return bool(workflow.output_settings.dryrun)


def deploys_software(workflow: Workflow) -> bool:
    """Tell whether jobs run in an environment or container of their own (`--sdm`). 9.27.1.

    What is not installed here may be installed there.
    """
    return bool(workflow.deployment_settings.deployment_method)


def is_imported(workflow: Workflow) -> bool:
    """Tell whether another workflow imports the rule file that is being read. 9.27.1.

    Handlers and the report belong to the workflow that the user started.
    """
    here = folder(workflow)
    return here is None or here.resolve() != Path(workflow.basedir).resolve()


# --- rules and jobs -------------------------------------------------------------------------------


def rule_name(rule: Any) -> str:  # noqa: ANN401
    """Give the name that the rule `rules.<name>` has in this run. 9.27.1.

    A workflow that imports this one may give its rules a prefix; log records have that name.
    """
    return str(rule.rule.name)


def jobs_to_run(workflow: Workflow, rule: str) -> list[Any]:
    """Give the jobs of a rule that this run has to do. 9.27.1.

    Loggers are told the number of jobs, and not which: the photos in them cannot be counted.
    """
    return [job for job in workflow.dag.needrun_jobs() if job.rule.name == rule]


def has_jobs(workflow: Workflow) -> bool:
    """Tell whether there is anything to do. 9.27.1.

    Snakemake opens an executor before it finds that there is nothing, and does not close it then.
    """
    return len(workflow.dag) > 0


def untracked(value: Any) -> Callable[..., Any]:  # noqa: ANN401
    """Give a function for `params:` whose value may change without a rerun. 9.27.1.

    Snakemake compares params with those of the last run, but for functions of `threads`.
    """

    def param(wildcards: object, threads: object) -> Any:  # noqa: ANN401
        return value

    return param


# --- storage --------------------------------------------------------------------------------------


def storage_provider(workflow: Workflow) -> str | None:
    """Give the name of the storage that all files are in (`--default-storage-provider`). 9.27.1.

    None: files are where their paths say. Only a shared storage makes a run one of pods.
    """
    provider = workflow.storage_settings.default_storage_provider
    return None if provider is None else str(provider)


def storage_prefix(workflow: Workflow) -> str:
    """Give what addresses of files in storage begin with (`--default-storage-prefix`). 9.27.1."""
    return str(workflow.storage_settings.default_storage_prefix)


def ask_storage(workflow: Workflow, address: str) -> bool:
    """Tell whether there is something at an address of the default storage. 9.27.1.

    Snakemake asks for the first time in the middle of planning, and answers wrong credentials with
    a stack trace. Raises whatever the storage's plugin does.
    """
    provider = workflow.storage_registry.default_storage_provider
    return bool(provider.object(address).exists())


def is_in_storage(file: File) -> bool:
    """Tell whether a rule's file is kept in storage. 9.27.1."""
    return bool(file.is_storage)


def exists_in_storage(file: File) -> bool:
    """Tell whether a rule's file is kept in storage, and is there. 9.27.1."""
    return bool(file.is_storage and file.storage_object.exists())


def fetch(file: File) -> None:
    """Copy a file from storage to where it is expected here. 9.27.1.

    Snakemake fetches inputs of jobs only. The plan and the summary are read beside them.
    """
    file.storage_object.local_path().parent.mkdir(parents=True, exist_ok=True)
    file.storage_object.retrieve_object()


def address_of(file: File) -> str:
    """Give the address of a rule's file in storage. 9.27.1."""
    return str(file.storage_object.query)


class StoredResults:
    """Results in the default storage, see `meanface.workflow.freshness`. 9.27.1.

    Snakemake removes nothing from storage that it does not know to be out of date.
    """

    def __init__(self, workflow: Workflow, folder: str) -> None:
        self.name = f"{storage_prefix(workflow).rstrip('/')}/{folder}"
        self._provider = workflow.storage_registry.default_storage_provider
        self._folder = folder

    def read(self, path: str) -> dict[str, Any] | None:
        """Read a JSON object; None where there is none that can be read."""
        stored = self._provider.object(f"{self.name}/{path}")
        if not stored.exists():
            return None
        stored.local_path().parent.mkdir(parents=True, exist_ok=True)
        stored.retrieve_object()
        try:
            content: Any = read_json(stored.local_path())
        except ValueError:
            content = None
        finally:
            stored.local_path().unlink()
        return content if isinstance(content, dict) else None

    def sources(self) -> list[str]:
        """Give no names: storage is not listed, and the summary names its sources."""
        return []

    def remove(self, path: str) -> None:
        """Remove a file, if it is there; folders stay, since storage has none."""
        stored = self._provider.object(f"{self.name}/{path}")
        if stored.exists():
            stored.remove()
        stored.local_path().unlink(missing_ok=True)

    def outdate(self, path: str) -> None:
        """Remove a file: nobody can set its time."""
        self.remove(path)


def leave_inputs_of_targets(workflow: Workflow) -> None:
    """Have no target, a rule without a script, wait for its inputs here. 9.27.1.

    Snakemake does not fetch the inputs of a target from storage, and then misses them.
    """
    for target in (rule for rule in workflow.rules if rule.norun):
        for file in target.input:
            if not callable(file) and getattr(file, "is_storage", False):
                file.storage_object.retrieve = False


# --- speed ----------------------------------------------------------------------------------------


def plan_faster() -> None:
    """Spare a fifth of the time that planning takes for millions of files. 9.27.1.

    Planning creates millions of long-lived objects: garbage collection took a tenth of its time.
    Snakemake parses the address of a job's script anew for each job: another tenth.
    """
    gc.set_threshold(100_000)
    with cosmetic("planning without parsing addresses again"):
        from snakemake import sourcecache

        parse = sourcecache.parse_uri
        if not hasattr(parse, "cache_info"):
            sourcecache.parse_uri = cache(parse)


def look_only_when_a_job_ends(workflow: Workflow) -> None:
    """Drop the limit of 100 starts per second, unless the user set another one. 9.27.1.

    The limit makes Snakemake re-evaluate once more, a second after every finished job, which keeps
    a core busy. `--max-jobs-per-timespan` knows no value for "no limit".
    """
    with cosmetic("starting jobs without a limit"):
        limit = workflow.scheduling_settings.max_jobs_per_timespan
        if limit and (limit.max_jobs, limit.timespan) == (100, 1):
            workflow.scheduler.job_rate_limiter = None


# --- the end of a run -----------------------------------------------------------------------------


def end_when_asked(workflow: Workflow) -> None:
    """Have SIGTERM end the run at any moment. 9.27.1.

    Snakemake takes a lock in its signal handler, and waits for ever where its own main thread holds
    that lock, as the main thread does whenever a job has ended.
    """
    with cosmetic("ending at any moment"):
        workflow.scheduler._lock = RLock()


# --- logging --------------------------------------------------------------------------------------


def add_handler(handler: logging.Handler) -> None:
    """Have a handler get the records of Snakemake's log. 9.27.1.

    Plugins are the documented way, but only the command line can choose them. A handler of the same
    kind and name is replaced: each `use rule ... from` reads the rule files once more.
    """
    for other in list(logger.handlers):
        if type(other) is type(handler) and other.name == handler.name:
            logger.removeHandler(other)
    logger.addHandler(handler)


def say(text: str) -> None:
    """Show a line in Snakemake's log. 9.27.1."""
    logger.info(text)


def rich_bars(workflow: Workflow) -> Any | None:  # noqa: ANN401
    """Give the `rich.progress.Progress` of `--logger rich`; None without that. Plugin 0.5.1.

    The plugin shows a bar for the jobs of each rule. A bar for photos must be one of its bars.
    """
    found: Iterable[Any] = ()
    with cosmetic("a bar for photos"):
        from snakemake_logger_plugin_rich import LogHandler

        handlers = workflow.logger_manager.get_log_handlers()
        found = [one.progress for one in handlers if isinstance(one, LogHandler)]
    return next(iter(found), None)


# --- executors ------------------------------------------------------------------------------------


def has_executor(name: str) -> bool:
    """Tell whether the plugin of an executor is installed. 9.27.1."""
    return bool(ExecutorPluginRegistry().is_installed(name))


def replace_executor(name: str, executor: type) -> None:
    """Have Snakemake use another class for the executor of this name. 9.27.1.

    A plugin of our own would need its own settings, image and documentation.
    """
    ExecutorPluginRegistry().get_plugin(name).executor = executor
