"""Every use of an undocumented part of Snakemake and its plugins, each with its reason.

Versions: Snakemake 9.27.1, snakemake-logger-plugin-rich 0.5.1. Each function names the version in
which the function was last seen to be needed. tests/unit/workflow/test_snakemake_internals.py fails
if a new version differs, or no longer needs the function.

A use that only changes the display or the speed of a run never stops the run: see `cosmetic`.
"""

import gc
import logging
import os
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from getpass import getuser
from pathlib import Path
from shutil import rmtree
from threading import RLock
from typing import Any, TypeAlias

from snakemake.logging import logger
from snakemake.settings.enums import PersistenceBackend, RerunTrigger
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from meanface.files.json_files import read_json

Workflow: TypeAlias = Any
"""`snakemake.workflow.Workflow`: the object `workflow` of rule files. Snakemake has no types."""

File: TypeAlias = Any
"""A file of a rule, such as `rules.merge.output.summary`; the file may be in storage."""

NOTHING_TO_BE_DONE = "Nothing to be done (all requested files are present and up to date)."
"""Snakemake logs this if no job is due, and then calls no handler of the workflow. 9.27.1."""

REPORT_CREATED = "Report created."
"""Snakemake logs this after --report-after-run, which comes after onsuccess. 9.27.1."""

STOPPED = (
    "Terminating processes on user request, this might take some time.",
    "Will exit after finishing currently running jobs (scheduler).",
)
"""Snakemake logs one of these when Ctrl-C or SIGTERM ends a run, before onerror. 9.27.1."""


@contextmanager
def cosmetic(what: str) -> Iterator[None]:
    """If the block fails, log in a line that `what` is missing, and continue."""
    try:
        yield
    except Exception as error:  # whatever a new version raises
        logger.info(f"meanface: {what}: not with this version of Snakemake: {error!r}")


# --- what kind of process and run this is ---------------------------------------------------------


def folder(workflow: Workflow) -> Path | None:
    """Give the folder of the rule file that is being read; None if it is not on disk. 9.27.1.

    If another workflow imports this workflow, `workflow.basedir` is the folder of the other.
    `workflow.source_path` gives copies. Files from a code hosting provider are in no folder.
    """
    base = workflow.current_basedir
    return Path(base.get_path_or_uri(secret_free=True)) if base.is_local else None


def is_main_process(workflow: Workflow) -> bool:
    """Tell whether this is the process that the user started, and not a job. 9.27.1.

    Both read the rule files. Only the process of the user reads the photos and shows messages.
    """
    return bool(workflow.is_main_process)


def directory(workflow: Workflow) -> Path:
    """Give the working directory as the user named it (`--directory`); "." without. 9.27.1."""
    return Path(workflow.overwrite_workdir or ".")


def is_locked() -> bool:
    """Tell whether another run has locked the working directory. 9.27.1.

    Snakemake logs the start of a run before it finds that the directory is locked.
    """
    return any(Path(".snakemake/locks").glob("*"))


def is_dry_run(workflow: Workflow) -> bool:
    """Tell whether the run only shows what it would do (`--dry-run`). 9.27.1.

    A dry run reads the rule files as well, and must not remove or record anything.
    """
    return bool(workflow.output_settings.dryrun)


def deploys_software(workflow: Workflow) -> bool:
    """Tell whether jobs run in an environment or container of their own (`--sdm`). 9.27.1.

    A package that is missing here may be installed there.
    """
    return bool(workflow.deployment_settings.deployment_method)


def runs_jobs_here(workflow: Workflow) -> bool:
    """Tell whether jobs run on this machine and with its packages; known once a run starts. 9.27.1.

    A cluster has other machines, `--sdm` other packages.
    """
    return bool(workflow.local_exec) and not deploys_software(workflow)


def name_user() -> None:
    """Give the user a name, if the system has none for the user's number. 9.27.1.

    Snakemake logs the name of the user, and fails without one. A container may run as any number.
    """
    try:
        getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        os.environ["LOGNAME"] = str(os.getuid())


def is_imported(workflow: Workflow) -> bool:
    """Tell whether another workflow imports the rule file that is being read. 9.27.1.

    Handlers and the report belong to the workflow that the user started.
    """
    here = folder(workflow)
    return here is None or here.resolve() != Path(workflow.basedir).resolve()


def read_config(entry: str) -> Any:  # noqa: ANN401
    """Give the value that Snakemake reads from an entry `key=value` of --config. 9.27.1.

    Snakemake tries numbers and YAML first, and takes what is neither for text.
    """
    from snakemake.cli import parse_config

    (value,) = parse_config([entry]).values()
    return value


# --- rules and jobs -------------------------------------------------------------------------------


def rule_name(rule: Any) -> str:  # noqa: ANN401
    """Give the name that the rule `rules.<name>` has in this run. 9.27.1.

    A workflow that imports this workflow may add a prefix to rule names. Log records have this
    longer name.
    """
    return str(rule.rule.name)


def jobs_to_run(workflow: Workflow, rule: str) -> list[Any]:
    """Give the jobs of a rule that this run has to do. 9.27.1.

    Loggers get the number of jobs only, which is not enough to count photos.
    """
    return [job for job in workflow.dag.needrun_jobs() if job.rule.name == rule]


def running_jobs(workflow: Workflow) -> list[Any]:
    """Give the jobs that are running, or wait in the queue of a cluster. 9.27.1."""
    return [
        job
        for one in list(workflow.scheduler.running)
        for job in (one.jobs if one.is_group() else [one])
    ]


def may_run(workflow: Workflow, rule: str) -> bool:
    """Tell whether this run has jobs of a rule, or may get them behind a checkpoint. 9.27.1."""
    jobs = workflow.dag.needrun_jobs()
    return any(job.rule.name == rule or job.is_checkpoint for job in jobs)


def files_made(workflow: Workflow) -> set[str]:
    """Give the outputs of all jobs that the targets of this run need, done or not. 9.27.1.

    Only the plan of the run tells which files are left over from other settings.
    """
    return {str(file) for job in workflow.dag.jobs for file in job.output}


def before_run(workflow: Workflow, call: Callable[[], None]) -> None:
    """Call a function before Snakemake plans a run, or a dry run. 9.27.1.

    The targets are not known yet when Snakemake reads the rule files.
    """
    execute = workflow.execute

    def checked(**options: Any) -> Any:  # noqa: ANN401
        call()
        return execute(**options)

    workflow.execute = checked


def targets(workflow: Workflow) -> set[str]:
    """Give the rules and files that the user asks for. Known before a run. 9.27.1."""
    return set(workflow.dag_settings.targets)


def is_target(workflow: Workflow, names: Iterable[str]) -> bool:
    """Tell whether the user asks for one of these rules or files. 9.27.1."""
    return not targets(workflow).isdisjoint(names)


def rule_names(workflow: Workflow) -> set[str]:
    """Give the names of all rules that have been read. 9.27.1."""
    return {rule.name for rule in workflow.rules}


def has_jobs(workflow: Workflow) -> bool:
    """Tell whether the run has any job. 9.27.1.

    Snakemake opens an executor even for a run without jobs, and then does not close the executor.
    """
    return len(workflow.dag) > 0


def force(workflow: Workflow, files_and_rules: list[str]) -> None:
    """Have a run that starts make files again, or run rules, as --forcerun does. 9.27.1.

    Snakemake does not make a missing or old file again if the files made of it are younger. Forced
    files and rules become targets.
    """
    settings = workflow.dag_settings
    settings.forcerun = frozenset({*settings.forcerun, *files_and_rules})


def look_at_params_and_inputs(workflow: Workflow) -> None:
    """Have Snakemake compare params and inputs, whatever --rerun-triggers says. 9.27.1.

    With `--rerun-triggers mtime`, `find` would keep its answer to an earlier query, and merge would
    miss changed settings: a new time of a small file with unchanged content triggers no rerun.
    """
    settings = workflow.dag_settings
    wanted = {RerunTrigger.PARAMS, RerunTrigger.INPUT}
    settings.rerun_triggers = frozenset({*settings.rerun_triggers, *wanted})


def force_unrecorded(workflow: Workflow, questions: Mapping[str, Sequence[Any]]) -> None:
    """Rerun rules whose outputs exist without a record. 9.27.1.

    Without records (`.snakemake` was deleted), Snakemake compares no params. `questions` maps each
    target to its rules. Only the targets of this run count. Records in a database, and those of
    outputs in storage, are not looked for.
    """
    if workflow.workflow_settings.persistence_backend != PersistenceBackend.FILE:
        return
    records = Path(".snakemake/metadata")
    for target, rules in questions.items():
        files = {str(file): rule_name(rule) for rule in rules for file in rule.output}
        if is_target(workflow, [target, *files]):
            names = {file: urlsafe_b64encode(file.encode()).decode() for file in files}
            there = [file for file in files if Path(file).exists()]
            force(workflow, [files[file] for file in there if not (records / names[file]).exists()])


def untracked(value: Any) -> Callable[..., Any]:  # noqa: ANN401
    """Give a function for `params:` whose value may change without a rerun. 9.27.1.

    Snakemake compares params with those of the last run, except functions of `threads`.
    """

    def param(wildcards: object, threads: object) -> Any:  # noqa: ANN401
        return value

    return param


# --- storage --------------------------------------------------------------------------------------


def storage_provider(workflow: Workflow) -> str | None:
    """Give the name of the storage that all files are in (`--default-storage-provider`). 9.27.1.

    None: files are at their paths. Only a run with storage may run its jobs in pods.
    """
    provider = workflow.storage_settings.default_storage_provider
    return None if provider is None else str(provider)


def storage_prefix(workflow: Workflow) -> str:
    """Give the prefix of addresses in storage (`--default-storage-prefix`). 9.27.1."""
    return str(workflow.storage_settings.default_storage_prefix)


def storage_settings(workflow: Workflow) -> Any:  # noqa: ANN401
    """Give the settings of the default storage, such as credentials. 9.27.1."""
    return workflow.storage_registry.default_storage_provider.settings


def ask_storage(workflow: Workflow, address: str) -> bool:
    """Tell whether the default storage has a file at an address. 9.27.1.

    Without this call, Snakemake asks the storage first during planning, and wrong credentials give
    a stack trace. Raises the errors of the storage's plugin.
    """
    provider = workflow.storage_registry.default_storage_provider
    return bool(provider.object(address).exists())


def is_in_storage(file: File) -> bool:
    """Tell whether a rule's file is kept in storage. 9.27.1."""
    return bool(file.is_storage)


def exists_in_storage(file: File) -> bool:
    """Tell whether a rule's file is kept in storage and exists there. 9.27.1."""
    return bool(file.is_storage and file.storage_object.exists())


def fetch(file: File) -> None:
    """Copy a file from storage to its local path. 9.27.1.

    Snakemake fetches only the inputs of jobs. The workflow also reads the plan and the summary.
    """
    file.storage_object.local_path().parent.mkdir(parents=True, exist_ok=True)
    file.storage_object.retrieve_object()


def address_of(file: File) -> str:
    """Give the address of a rule's file in storage. 9.27.1."""
    return str(file.storage_object.query)


class StoredResults:
    """Results in the default storage, see `meanface.workflow.freshness`. 9.27.1.

    Snakemake removes a file from storage only if Snakemake's records say that it is out of date.
    """

    def __init__(self, workflow: Workflow, folder: str) -> None:
        self.name = f"{storage_prefix(workflow).rstrip('/')}/{folder}"
        self._provider = workflow.storage_registry.default_storage_provider
        self._folder = folder
        self._keeps_copies = bool(workflow.storage_settings.keep_storage_local)

    def read(self, path: str) -> dict[str, Any] | None:
        """Read a JSON object; an empty one if the file is damaged, None if it is missing."""
        stored = self._provider.object(f"{self.name}/{path}")
        if not stored.exists():
            return None
        stored.local_path().parent.mkdir(parents=True, exist_ok=True)
        stored.retrieve_object()
        try:
            content: Any = read_json(stored.local_path())
        except ValueError:
            content = {}
        finally:
            stored.local_path().unlink()
        return content if isinstance(content, dict) else {}

    def sources(self) -> list[str]:
        """Give no names: storage is not listed, and the summary names its sources."""
        return []

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        stored = self._provider.object(f"{self.name}/{path}")
        if stored.exists():
            stored.remove()
        stored.local_path().unlink(missing_ok=True)

    def outdate(self, path: str) -> None:
        """Remove a file, since nobody can set its time. The summary stays."""
        if path != "summary.json":
            self.remove(path)

    def clear(self) -> None:
        """Leave what is there to be overwritten: storage is not listed."""

    def forget(self) -> None:
        """Remove local copies that a killed run, or one with nothing to do, has left.

        Snakemake removes those of outputs, still believes them there, and so takes the outputs for
        write-protected.
        """
        if not self._keeps_copies:
            rmtree(self._provider.local_prefix, ignore_errors=True)
            self._provider.local_prefix.mkdir(parents=True)


def leave_inputs_of_targets(workflow: Workflow) -> None:
    """Leave the inputs of targets (rules without a script) in storage. 9.27.1.

    Snakemake does not fetch the inputs of a target, and then misses the local copies.
    """
    for target in (rule for rule in workflow.rules if rule.norun):
        for file in target.input:
            if not callable(file) and getattr(file, "is_storage", False):
                file.storage_object.retrieve = False


# --- speed ----------------------------------------------------------------------------------------


def plan_faster() -> None:
    """Save a fifth of the planning time for millions of files. 9.27.1.

    Planning creates millions of long-lived objects. Garbage collection took a tenth of the planning
    time. Parsing the address of the script again for every job took another tenth.
    """
    gc.set_threshold(100_000)
    with cosmetic("planning without parsing addresses again"):
        from snakemake import sourcecache

        parse = sourcecache.parse_uri
        if not hasattr(parse, "cache_info"):
            sourcecache.parse_uri = cache(parse)


def do_without_pandas() -> None:
    """Have this process find no pandas, whose import takes as long as a short job. 9.27.1.

    Snakemake imports pandas, if it is installed, to tell tables among params. No rule has tables.
    Scripts are other processes. Where pandas is imported already, nothing changes.
    """
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]


def look_only_when_a_job_ends(workflow: Workflow) -> None:
    """Drop the limit of 100 starts per second, unless the user set another one. 9.27.1.

    The limit makes Snakemake re-evaluate once more, a second after every finished job. This keeps a
    core busy. `--max-jobs-per-timespan` has no value for "no limit".
    """
    with cosmetic("starting jobs without a limit"):
        limit = workflow.scheduling_settings.max_jobs_per_timespan
        if limit and (limit.max_jobs, limit.timespan) == (100, 1):
            workflow.scheduler.job_rate_limiter = None


# --- the end of a run -----------------------------------------------------------------------------


def end_when_asked(workflow: Workflow) -> None:
    """Make SIGTERM end the run at any moment. 9.27.1.

    Snakemake's signal handler takes a lock. The main thread holds the same lock whenever a job has
    ended, and the handler, which runs in this thread, would then wait for ever.
    """
    with cosmetic("ending at any moment"):
        workflow.scheduler._lock = RLock()


# --- logging --------------------------------------------------------------------------------------


def add_handler(handler: logging.Handler) -> None:
    """Add a handler to Snakemake's log. 9.27.1.

    Plugins are the documented way, but only the command line can choose a plugin. A handler of the
    same kind and name is replaced, because each `use rule ... from` reads the rule files again.
    """
    for other in list(logger.handlers):
        if type(other) is type(handler) and other.name == handler.name:
            logger.removeHandler(other)
    logger.addHandler(handler)


def say(text: str) -> None:
    """Show a line in Snakemake's log. 9.27.1."""
    logger.info(text)


def rich_bars(workflow: Workflow) -> Any | None:  # noqa: ANN401
    """Give the `rich.progress.Progress` of `--logger rich`; None without it. Plugin 0.5.1.

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
    """Make Snakemake use another class for the executor of this name. 9.27.1.

    A separate plugin would need its own settings, image and documentation.
    """
    ExecutorPluginRegistry().get_plugin(name).executor = executor


def before_run_with(workflow: Workflow, executor: type, call: Callable[[Any], None]) -> None:
    """Call a function with the executor's settings before a run with an executor. 9.27.1.

    Snakemake opens the executor only after it has looked at the results. A dry run opens another.
    """
    execute = workflow.execute

    def checked(**options: Any) -> Any:  # noqa: ANN401
        if options["executor_plugin"].executor is executor:
            call(options["executor_settings"])
        return execute(**options)

    workflow.execute = checked
