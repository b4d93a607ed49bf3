"""The executor for Kubernetes, between an API that the tests make answer and the jobs' ends."""

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_common.exceptions import WorkflowError
from urllib3.exceptions import HTTPError

pytest.importorskip("snakemake_executor_plugin_kubernetes", reason="needs `make cluster`")

from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.client.rest import ApiException
from snakemake_executor_plugin_kubernetes import Executor

from meanface.workflow import kubernetes_api, kubernetes_executor
from meanface.workflow.kubernetes_api import BoundedClient, one_line
from meanface.workflow.kubernetes_executor import KubernetesExecutor

NAME = "snakejob-1"
Answer = Callable[[], Any]


def refusal(status: int, message: str = "") -> ApiException:
    error = ApiException(status=status, reason={401: "Unauthorized"}.get(status, "Forbidden"))
    error.body = json.dumps({"kind": "Status", "message": message}) if message else None
    return error


def failing(error: Exception) -> Answer:
    def answer() -> None:
        raise error

    return answer


def status(**counts: int) -> Answer:
    fields = {"active": None, "succeeded": None, "failed": None, "conditions": None}
    return lambda: SimpleNamespace(status=SimpleNamespace(**fields | counts))


def pods(code: int | None = None, reason: str = "Error") -> Answer:
    """One pod: its container runs, or ended with `code`."""
    terminated = None if code is None else SimpleNamespace(exit_code=code, reason=reason)
    state = SimpleNamespace(waiting=None, terminated=terminated)
    container = SimpleNamespace(name="snakemake", state=state)
    pod = SimpleNamespace(
        metadata=SimpleNamespace(name=f"{NAME}-x"),
        status=SimpleNamespace(
            reason=None, message=None, conditions=None, container_statuses=[container]
        ),
    )
    return lambda: SimpleNamespace(items=[pod])


class Limiter:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


class Here:
    """An executor that looks after one Job; what it asks is answered by `answers`."""

    def __init__(self, folder: Path, **answers: Answer) -> None:
        self.answers: dict[str, Answer] = {
            "job": status(active=1),
            "pods": pods(),
            "log": lambda: "",
            "delete": lambda: None,
        } | answers
        self.ends: list[tuple[str, str]] = []
        self.executor: Any = object.__new__(KubernetesExecutor)
        self.executor.__dict__ |= {
            "submitted": {NAME},
            "said": set(),
            "silent": {},
            "last_ran": 0.0,
            "waits": {},
            "namespace": "meanface",
            "log_path": folder,
            "logger": logging.getLogger("test"),
            "lock": nullcontext(),
            "status_rate_limiter": Limiter(),
            "report_job_success": lambda job: self.ends.append((job.external_jobid, "")),
            "report_job_error": lambda job, msg, aux_logs: self.ends.append(
                (job.external_jobid, msg)
            ),
            "batchapi": SimpleNamespace(
                read_namespaced_job_status=lambda *_: self.answers["job"](),
                delete_namespaced_job=lambda *_, **__: self.answers["delete"](),
            ),
            "kubeapi": SimpleNamespace(
                list_namespaced_pod=lambda *_, **__: self.answers["pods"](),
                read_namespaced_pod_log=lambda *_, **__: self.answers["log"](),
            ),
        }

    def look(self) -> list[str]:
        """Have it look once; gives the Jobs that have not ended."""

        async def left() -> list[str]:
            jobs = [SimpleNamespace(external_jobid=NAME)]
            return [job.external_jobid async for job in self.executor.check_active_jobs(jobs)]

        return asyncio.run(left())


def test_what_it_overrides_is_what_the_plugin_calls() -> None:
    overridden = {
        name: member
        for name, member in vars(KubernetesExecutor).items()
        if inspect.isfunction(member) and hasattr(Executor, name)
    }
    assert set(overridden) == {
        "__post_init__",
        "register_secret",
        "unregister_secret",
        "run_job",
        "_kubernetes_retry",
        "check_active_jobs",
        "cancel_jobs",
        "shutdown",
    }
    for name, member in overridden.items():
        theirs = inspect.signature(getattr(Executor, name)).parameters
        assert len(inspect.signature(member).parameters) == len(theirs), name
    source = inspect.getsource(Executor)
    for used in ("log_path", "run_namespace", "namespace", "kubeapi", "batchapi"):
        assert f"self.{used} = " in source, used
    assert 'name="snakemake"' in source, "the name of the container"
    assert '"snakejob-{}".format(' in source, "the name of a Job"


def test_a_job_that_runs_is_looked_at_again(tmp_path: Path) -> None:
    here = Here(tmp_path)
    assert here.look() == [NAME]
    assert here.ends == []
    assert here.executor.submitted == {NAME}


def test_a_job_that_succeeded_is_reported_and_removed(tmp_path: Path) -> None:
    here = Here(tmp_path, job=status(succeeded=1), pods=pods(0))
    assert here.look() == []
    assert here.ends == [(NAME, "")]
    assert here.executor.submitted == set()


def test_a_job_that_failed_is_reported_with_what_its_log_says(tmp_path: Path) -> None:
    log = "Select jobs\nmeanface: no space left\nExiting\n"
    here = Here(tmp_path, job=status(failed=1), pods=pods(1), log=lambda: log)
    assert here.look() == []
    assert here.ends == [(NAME, "its pod ended with 1: meanface: no space left. ")]
    assert (tmp_path / f"{NAME}.log").read_text() == log


def test_a_job_over_its_memory_keeps_its_log(tmp_path: Path) -> None:
    here = Here(tmp_path, job=status(failed=1), pods=pods(137, "OOMKilled"), log=lambda: "Select")
    assert here.look() == []
    ((_, reason),) = here.ends
    assert "OOMKilled" in reason
    assert "Select" not in reason
    assert (tmp_path / f"{NAME}.log").read_text() == "Select"


def test_a_log_that_is_gone_hides_no_failure(tmp_path: Path) -> None:
    gone = failing(ApiException(status=404, reason="Not Found"))
    here = Here(tmp_path, job=status(failed=1), pods=pods(1), log=gone)
    assert here.look() == []
    assert here.ends == [(NAME, "its pod ended with 1: its log is gone: 404 Not Found. ")]


def test_a_job_that_somebody_deleted_has_failed(tmp_path: Path) -> None:
    here = Here(tmp_path, job=failing(ApiException(status=404, reason="Not Found")))
    assert here.look() == []
    assert here.ends == [(NAME, "its Job was deleted. ")]


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("asked", ["job", "pods", "log"])
def test_a_refusal_ends_the_run_with_a_line(tmp_path: Path, code: int, asked: str) -> None:
    given: dict[str, Answer] = {"job": status(failed=1), "pods": pods(1)}
    message = 'jobs.batch is forbidden: User "u" cannot get resource "jobs/status"'
    here = Here(tmp_path, **given | {asked: failing(refusal(code, message))})
    with pytest.raises(WorkflowError) as error:
        here.look()
    line = str(error.value)
    assert line.startswith(f"kubernetes: how Job {NAME} is doing is not told in namespace meanface")
    assert f"{code} " in line
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "error", [ApiException(status=503, reason="Unavailable"), HTTPError("refused")]
)
def test_an_api_server_that_is_away_is_asked_again_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(kubernetes_executor, "monotonic", lambda: clock[0])
    here = Here(tmp_path, job=failing(error))

    def look_at(time: float) -> list[str]:
        clock[0] = time
        return here.look()

    assert [look_at(time) for time in (1000, 1300, 1600)] == [[NAME]] * 3
    here.answers["job"] = status(active=1)
    assert look_at(1700) == [NAME]

    here.answers["job"] = failing(error)
    assert [look_at(time) for time in (1800, 2400)] == [[NAME]] * 2, "since the last answer"
    with pytest.raises(WorkflowError, match="no answer about Job snakejob-1 for 600 s"):
        look_at(2401)


def test_what_is_created_is_tried_for_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(KubernetesExecutor._kubernetes_retry.retry, "sleep", waited.append)
    here = Here(tmp_path)
    answers = iter([503, 504])

    def create() -> str:
        for code in answers:
            raise ApiException(status=code, reason="away")
        return "created"

    assert here.executor._kubernetes_retry(create) == "created"
    assert len(waited) == 2
    # The answer to the last try was lost.
    assert here.executor._kubernetes_retry(failing(ApiException(status=409))) is None
    with pytest.raises(ApiException):
        here.executor._kubernetes_retry(failing(refusal(403)))
    assert len(waited) == 2, "a refusal is final"
    stop: Any = KubernetesExecutor._kubernetes_retry.retry.stop
    assert stop.max_delay == kubernetes_executor.SECONDS_TO_CREATE


def test_a_job_that_may_not_be_created_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = "exceeded quota: jobs, requested: count/jobs.batch=1, used: 9, limited: 9"
    monkeypatch.setattr(Executor, "run_job", lambda *_: failing(refusal(403, quota))())
    here = Here(tmp_path)
    here.executor.run_namespace = "run"
    with pytest.raises(WorkflowError, match="could not be created in namespace meanface: 403") as e:
        here.executor.run_job(SimpleNamespace(jobid=1, attempt=1))
    assert quota in str(e.value)
    assert len(here.executor.submitted) == 2, "it may be there all the same"


def test_the_end_removes_jobs_and_waits_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Executor, "shutdown", lambda _: None)
    here = Here(tmp_path)
    here.executor.shutdown()
    assert here.executor.submitted == set()

    asked: list[int] = []

    def away() -> None:
        asked.append(1)
        raise HTTPError("timed out")

    here = Here(tmp_path, delete=away)
    here.executor.submitted = {f"snakejob-{number}" for number in range(9)}
    here.executor.shutdown()
    assert len(asked) == 1
    assert "9 Jobs may be left" in caplog.text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (refusal(403, "pods is\nforbidden"), "403 Forbidden: pods is forbidden"),
        (refusal(401), "401 Unauthorized"),
        (HTTPError("no\n  route"), "no route"),
    ],
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server, on loopback, that accepts requests and never answers."""

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read()  # until the client gives up

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_never_answers_is_not_waited_for(
    silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_api, "SECONDS_TO_ANSWER", (1, 0.1))
    configuration = Configuration()
    configuration.host, configuration.retries = silent_server, False
    assert issubclass(BoundedClient, ApiClient)
    with pytest.raises(HTTPError, match="timed out"):
        CoreV1Api(BoundedClient(configuration)).list_namespaced_pod("meanface")
