"""Every state of a pod, as an API server sends it: JSON, read by the package kubernetes."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from meanface.workflow.pods import Ended, explained, how_it_ended, what_it_waits_for

client = pytest.importorskip("kubernetes.client", reason="needs `make cluster`")

GONE = "its pod was deleted"
NO_ROOM = "0/3 nodes are available: 3 Insufficient memory."
EVICTED = "The node was low on resource: memory."


def read(kind: str, content: dict[str, Any]) -> Any:  # noqa: ANN401
    """What the package kubernetes makes of an answer."""
    answer = SimpleNamespace(data=json.dumps(content))
    return client.ApiClient().deserialize(answer, kind)


def job(*, condition: dict[str, str] | None = None, **counts: int) -> Any:  # noqa: ANN401
    conditions = [{"type": "Failed", "status": "True", **condition}] if condition else []
    return read("V1Job", {"status": {**counts, "conditions": conditions}}).status


def pod(phase: str, *states: dict[str, Any], **status: Any) -> Any:  # noqa: ANN401
    """A pod whose containers are in these states: ours comes first."""
    containers = [
        {
            "name": name,
            "state": state,
            "image": "x",
            "imageID": "x",
            "ready": False,
            "restartCount": 0,
        }
        for name, state in zip(("snakemake", "istio-proxy"), states, strict=False)
    ]
    if containers:
        status["containerStatuses"] = containers
    return read("V1Pod", {"status": {"phase": phase, **status}})


def waiting(reason: str, message: str | None = None) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
SCHEDULED = {"type": "PodScheduled", "status": "True"}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": NO_ROOM,
}
PREEMPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "PreemptionByScheduler",
    "message": "preempting to accommodate a higher priority pod",
}


@pytest.mark.parametrize(
    ("of_job", "of_pod"),
    [
        (job(active=1), None),
        (job(active=1), pod("Pending")),
        (job(active=1), pod("Pending", conditions=[UNSCHEDULABLE])),
        (job(active=1), pod("Pending", waiting("ContainerCreating"))),
        (job(active=1), pod("Pending", waiting("ErrImagePull", "not found"))),
        (job(active=1), pod("Running", RUNNING)),
        (job(active=1), pod("Running", RUNNING, RUNNING)),
        (job(active=1), pod("Running", RUNNING, terminated(1))),
        (job(), None),
    ],
)
def test_a_job_that_has_not_ended(of_job: Any, of_pod: Any) -> None:  # noqa: ANN401
    assert how_it_ended(of_job, of_pod) is None


@pytest.mark.parametrize(
    ("of_job", "of_pod"),
    [
        (job(succeeded=1), pod("Succeeded", terminated(0, "Completed"))),
        (job(succeeded=1), None),
        # Another container of the pod runs on.
        (job(active=1), pod("Running", terminated(0, "Completed"), RUNNING)),
    ],
)
def test_a_job_that_succeeded(of_job: Any, of_pod: Any) -> None:  # noqa: ANN401
    assert how_it_ended(of_job, of_pod) == Ended(True)


@pytest.mark.parametrize(
    ("of_job", "of_pod", "reason"),
    [
        (job(failed=1), None, GONE),
        (job(failed=1, condition={"reason": "BackoffLimitExceeded"}), None, GONE),
        (
            job(failed=1, condition={"reason": "DeadlineExceeded", "message": "was active long"}),
            None,
            "its Job failed: DeadlineExceeded: was active long",
        ),
        (
            job(failed=1),
            pod("Failed", reason="Evicted", message=EVICTED),
            f"its pod failed: Evicted: {EVICTED}",
        ),
        # A node that runs out of memory kills the container of a pod that it evicts.
        (
            job(failed=1),
            pod("Failed", terminated(137), reason="Evicted", message=EVICTED),
            f"its pod failed: Evicted: {EVICTED}",
        ),
        (
            job(failed=1),
            pod("Failed", terminated(143), conditions=[SCHEDULED, PREEMPTED]),
            f"its pod failed: PreemptionByScheduler: {PREEMPTED['message']}",
        ),
        (job(failed=1), pod("Failed"), "its pod failed before its container started"),
    ],
)
def test_a_job_that_failed_with_its_pod(of_job: Any, of_pod: Any, reason: str) -> None:  # noqa: ANN401
    assert how_it_ended(of_job, of_pod) == Ended(False, reason)


@pytest.mark.parametrize("others", [[], [RUNNING]])
def test_a_job_whose_container_failed(others: list[dict[str, Any]]) -> None:
    status = job(active=1) if others else job(failed=1)
    ended = how_it_ended(status, pod("Failed", terminated(3), *others))
    assert ended == Ended(False, "its pod ended with 3", has_log=True, log_explains=True)


def test_a_job_that_needed_more_memory_than_it_had() -> None:
    ended = how_it_ended(job(failed=1), pod("Failed", terminated(137, "OOMKilled")))
    assert ended
    assert not ended.succeeded
    assert ended.has_log
    assert not ended.log_explains, "its last words are not why it ended"
    assert ended.reason.endswith("(OOMKilled)")


@pytest.mark.parametrize(
    ("of_pod", "awaited"),
    [
        (pod("Pending"), ""),
        (pod("Pending", conditions=[SCHEDULED]), ""),
        (pod("Pending", conditions=[UNSCHEDULABLE]), f"Unschedulable: {NO_ROOM}"),
        (pod("Pending", waiting("ContainerCreating")), ""),
        (pod("Pending", waiting("PodInitializing")), ""),
        (pod("Running", RUNNING), ""),
        (pod("Pending", waiting("ErrImagePull", "not found")), "ErrImagePull: not found"),
        (pod("Pending", waiting("ImagePullBackOff", "Back-off")), "ImagePullBackOff: Back-off"),
        (pod("Pending", waiting("InvalidImageName")), "InvalidImageName"),
        (
            pod("Pending", waiting("CreateContainerConfigError", 'secret "x" not found')),
            'CreateContainerConfigError: secret "x" not found',
        ),
        # Another container's troubles are not ours.
        (pod("Pending", RUNNING, waiting("ErrImagePull", "not found")), ""),
    ],
)
def test_what_a_pod_waits_for(of_pod: Any, awaited: str) -> None:  # noqa: ANN401
    waiting = what_it_waits_for(of_pod)
    assert (waiting.reason if waiting else "") == awaited


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "it left no log"),
        ("\n \n", "it left no log"),
        ("Select jobs\n  Killed \n\n", "Killed"),
        ("meanface: 3 photos, but 2\nExiting because a job failed\n", "meanface: 3 photos, but 2"),
        ("meanface: first\nmeanface: last\nTraceback\n", "meanface: last"),
    ],
)
def test_what_a_log_says_to_people(log: str, words: str) -> None:
    assert explained(log) == words
