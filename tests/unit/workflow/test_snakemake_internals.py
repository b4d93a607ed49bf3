"""What Snakemake does not document is still there, and still needed.

A test that fails here says that a new version of Snakemake or of a plugin is another one: adapt
meanface/workflow/snakemake_internals.py, or delete what is no longer needed.
"""

import getpass
import inspect
import json
import logging
import os
import pwd
import shutil
import subprocess
import sys
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rich.progress
from snakemake import api, report, sourcecache  # api first: they import each other
from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.workflow import Workflow
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectBase,
    StorageObjectRead,
)
from snakemake_logger_plugin_rich import LogHandler

from meanface.workflow import snakemake_internals as internals
from tests.runs import ROOT

# A workflow of two jobs. Each process that reads it notes what it sees, before any job and in one.
SNAKEFILE = """
import json, threading, time
from pathlib import Path
from meanface.workflow import snakemake_internals as internals

def note(**facts):
    with Path("facts").open("a") as stream:
        stream.write(json.dumps(facts) + "\\n")

note(
    when="read",
    main=internals.is_main_process(workflow),
    dry=internals.is_dry_run(workflow),
    deploys=internals.deploys_software(workflow),
    provider=internals.storage_provider(workflow),
    folder=str(internals.folder(workflow)),
    imported=internals.is_imported(workflow),
    settings=workflow.dag_settings is not None,
)
internals.before_run(
    workflow,
    lambda: note(
        when="before",
        targets=sorted(internals.targets(workflow)),
        rules=sorted(internals.rule_names(workflow)),
    ),
)

rule all:
    input:
        "made-a", "made-b",

rule make:
    output:
        "made-{name}",
    params:
        tracked=config.get("tracked", 0),
        untracked=internals.untracked(config.get("untracked", 0)),
    run:
        time.sleep(config["seconds"])
        Path(output[0]).touch()

stored = internals.is_in_storage(rules.make.output[0])
note(when="rules", name=internals.rule_name(rules.make), stored=stored)

onstart:
    limiter = workflow.scheduler.job_rate_limiter
    plain = type(workflow.scheduler._lock) is type(threading.Lock())
    if config.get("faster"):
        internals.look_only_when_a_job_ends(workflow)
    internals.end_when_asked(workflow)
    note(
        when="start",
        jobs=len(internals.jobs_to_run(workflow, "make")),
        has_jobs=internals.has_jobs(workflow),
        may_run=[internals.may_run(workflow, rule) for rule in ("make", "other")],
        here=internals.runs_jobs_here(workflow),
        running=len(internals.running_jobs(workflow)),
        directory=str(internals.directory(workflow)),
        made=sorted(internals.files_made(workflow)),
        asked=[internals.is_target(workflow, [one, "other"]) for one in ("made-a", "made-b")],
        was_limited=limiter is not None,
        limited=workflow.scheduler.job_rate_limiter is not None,
        plain_lock=plain,
        reentrant=type(workflow.scheduler._lock) is type(threading.RLock()),
        bars=internals.rich_bars(workflow) is not None,
    )

onsuccess:
    note(when="success")
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[str, list[dict[str, Any]]]]:
    """Runs the workflow above: gives what Snakemake printed, and the facts noted."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)

    def once(*arguments: str, **config: object) -> tuple[str, list[dict[str, Any]]]:
        (tmp_path / "facts").unlink(missing_ok=True)
        given = [f"{key}={value}" for key, value in ({"seconds": 0} | config).items()]
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--scheduler", "greedy"]
        command += [*arguments, "--config", *given]
        environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        facts = [json.loads(line) for line in (tmp_path / "facts").read_text().splitlines()]
        return done.stdout + done.stderr, facts

    return once


def at(facts: list[dict[str, Any]], when: str) -> list[dict[str, Any]]:
    return [one for one in facts if one["when"] == when]


def test_what_a_workflow_tells_of_itself(
    run: Callable[..., tuple[str, list[dict[str, Any]]]], tmp_path: Path
) -> None:
    _, facts = run()
    read = at(facts, "read")
    assert read[0] == {
        "when": "read",
        "main": True,
        "dry": False,
        "deploys": False,
        "provider": None,
        "folder": str(tmp_path),
        "imported": False,
        "settings": False,
    }
    assert [one["main"] for one in read] == [True, False, False], "each job reads the rules too"
    assert at(facts, "rules")[0] == {"when": "rules", "name": "make", "stored": False}
    (start,) = at(facts, "start")
    assert start == {
        "when": "start",
        "jobs": 2,
        "has_jobs": True,
        "may_run": [True, False],
        "here": True,
        "running": 0,
        "directory": ".",
        "made": ["made-a", "made-b"],
        "asked": [False, False],
        "was_limited": True,
        "limited": True,
        "plain_lock": True,
        "reentrant": True,
        "bars": False,
    }
    assert len(at(facts, "success")) == 1

    shown, facts = run()
    assert internals.NOTHING_TO_BE_DONE in shown
    assert not at(facts, "start"), "Snakemake calls handlers where nothing is to be done"
    assert not at(facts, "success")

    _, facts = run("--dry-run", "--forceall")
    assert at(facts, "read")[0]["dry"]
    assert not at(facts, "start")
    assert at(facts, "before")


def test_a_workflow_tells_what_the_user_asks_for(
    run: Callable[..., tuple[str, list[dict[str, Any]]]],
) -> None:
    _, facts = run("made-b")
    (start,) = at(facts, "start")
    assert start["asked"] == [False, True]
    before = at(facts, "before")[0]  # each job asks for something too
    assert (before["targets"], before["rules"]) == (["made-b"], ["all", "make"])


def test_the_log_of_a_run_needs_the_name_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert "getpass.getuser()" in inspect.getsource(Workflow.info_header.fget)
    internals.name_user()
    assert getpass.getuser() == str(os.getuid())


def test_params_that_are_functions_of_threads_are_not_compared(
    run: Callable[..., tuple[str, list[dict[str, Any]]]],
) -> None:
    run(tracked=1, untracked=1)
    assert internals.NOTHING_TO_BE_DONE in run("--dry-run", tracked=1, untracked=2)[0]
    assert "params have changed" in run("--dry-run", tracked=2, untracked=1)[0].lower()


def test_params_are_compared_by_record_and_trigger_alone(tmp_path: Path) -> None:
    """`look_at_params_and_inputs` and `force_unrecorded` are needed, and find the records."""
    (tmp_path / "Snakefile").write_text(
        'rule a:\n    output: "results/a.txt"\n    params: config["value"]\n'
        '    shell: "echo {params} > {output}"\n'
    )

    def run(value: int, *arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--cores=1", "--config", f"value={value}"]
        subprocess.run([*command, *arguments], cwd=tmp_path, check=True, capture_output=True)
        return (tmp_path / "results/a.txt").read_text()

    assert run(1) == "1\n"
    name = urlsafe_b64encode(b"results/a.txt").decode()
    assert (tmp_path / ".snakemake/metadata" / name).exists()
    assert run(2, "--rerun-triggers", "mtime") == "1\n"
    shutil.rmtree(tmp_path / ".snakemake")
    assert run(2) == "1\n"


def test_the_limit_of_starts_costs_looks(
    run: Callable[..., tuple[str, list[dict[str, Any]]]],
) -> None:
    looks = {}
    for faster in (0, 1):
        shown, facts = run("--verbose", "--forceall", seconds=2, faster=faster)
        (start,) = at(facts, "start")
        assert start["limited"] == (not faster)
        looks[faster] = shown.count("Ready jobs: ")
    assert looks[1] < looks[0]


def test_a_signal_handler_takes_the_lock_that_the_main_thread_may_hold() -> None:
    taken = []

    class Lock:
        def __enter__(self) -> None:
            taken.append(1)

        def __exit__(self, *_: object) -> None:
            pass

    scheduler: Any = object.__new__(JobScheduler)
    scheduler._lock = Lock()
    scheduler._open_jobs = threading.Semaphore(0)
    scheduler.exit_gracefully(15, None)
    assert taken


def test_the_address_of_a_script_is_parsed_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    parse = sourcecache.parse_uri

    def counting(address: str) -> object:
        calls.append(address)
        return parse(address)

    monkeypatch.setattr(sourcecache, "parse_uri", counting)
    file = sourcecache.LocalSourceFile("/scripts/encode.py")
    file.get_cache_path()
    file.get_cache_path()
    assert len(calls) == 2
    internals.plan_faster()
    file.get_cache_path()
    file.get_cache_path()
    assert len(calls) == 3


STORED = """
import sys
from importlib.util import find_spec
from types import SimpleNamespace

from snakemake.iocontainers import Params, Snakemake

from meanface.workflow import snakemake_internals as internals

if "without" in sys.argv:
    internals.do_without_pandas()
Snakemake._safely_store_params(SimpleNamespace(), Params(toclone=[1, "text"]))
print(bool(sys.modules.get("pandas")), bool(find_spec("pandas")))
"""


# SLURM's executor imports pandas itself. So the process that is tested imports no executor.
@pytest.mark.parametrize("argument", ["with", "without"])
def test_a_job_makes_snakemake_import_pandas(argument: str) -> None:
    command = [sys.executable, "-c", STORED, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(argument == "with")] * 2


def test_messages_are_what_snakemake_logs() -> None:
    assert internals.NOTHING_TO_BE_DONE == NOTHING_TO_BE_DONE_MSG
    assert f'logger.info("{internals.REPORT_CREATED}")' in inspect.getsource(report)
    assert all(f'"{message}"' in inspect.getsource(JobScheduler) for message in internals.STOPPED)


def test_a_handler_is_replaced_by_one_of_the_same_kind_and_name() -> None:
    before = list(logger.handlers)
    first, second, other = (logging.NullHandler() for _ in range(3))
    first.name = second.name = "results"
    other.name = "other"
    try:
        for handler in (first, other, second):
            internals.add_handler(handler)
        added = [one for one in logger.handlers if one not in before]
        assert added == [other, second]
    finally:
        logger.handlers[:] = before


def test_the_rich_logger_has_bars_to_add_to() -> None:
    names = ("dryrun", "printshellcmds", "show_failed_logs", "verbose", "stdout")
    handler = LogHandler(SimpleNamespace(**dict.fromkeys(names, False)), None)
    workflow = SimpleNamespace(logger_manager=SimpleNamespace(get_log_handlers=lambda: [handler]))
    bars = internals.rich_bars(workflow)
    assert isinstance(bars, rich.progress.Progress)
    bars.update(bars.add_task("3 of 4 photos", total=4, active=""), completed=3)
    assert bars.tasks[-1].completed == 3


@pytest.mark.parametrize(
    "use",
    [
        internals.rich_bars,
        internals.look_only_when_a_job_ends,
        internals.end_when_asked,
        lambda _: internals.plan_faster(),
    ],
)
def test_what_only_shows_or_speeds_up_stops_no_run(
    use: Callable[[Any], object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(sourcecache, "parse_uri")
    monkeypatch.setattr(logger, "propagate", True)
    with caplog.at_level(logging.INFO, logger=logger.name):
        assert use(SimpleNamespace()) is None
    (line,) = caplog.messages
    assert "not with this version of Snakemake" in line


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            api.Workflow,
            ["is_main_process", "current_basedir", "basedir", "rules", "dag", "scheduler"],
        ),
        (StorageObjectBase, ["local_path"]),
        (StorageObjectRead, ["exists", "retrieve_object"]),
        (sourcecache.SourceFile, ["is_local", "get_path_or_uri"]),
    ],
)
def test_names_are_still_there(owner: type, names: list[str]) -> None:
    assert [name for name in names if not hasattr(owner, name)] == []


def test_an_executor_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = ExecutorPluginRegistry().get_plugin("local")
    monkeypatch.setattr(plugin, "executor", plugin.executor)
    assert internals.has_executor("local")
    assert not internals.has_executor("no-such-executor")
    internals.replace_executor("local", WorkflowError)
    assert ExecutorPluginRegistry().get_plugin("local").executor is WorkflowError
