"""Read from the API server's answers how a Job ended, and what its pod waits for.

The arguments are objects of the package `kubernetes`: V1JobStatus and V1Pod.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

CONTAINER = "snakemake"
"""The container of a pod that runs the job. A cluster may add others."""

NEVER_STARTS = (
    "CreateContainerConfigError",
    "InvalidImageName",
    "ErrImageNeverPull",
)
"""What a container waits for that only a change by somebody ends. An image may be pushed later."""


@dataclass(frozen=True)
class Ended:
    """How a Job ended: whether it succeeded and, if not, the reason.

    `has_log`: the pod's log can be read. `log_explains`: the log says why.
    """

    succeeded: bool
    reason: str = ""
    has_log: bool = False
    log_explains: bool = False


@dataclass(frozen=True)
class Waiting:
    """Why a pod does not start. `for_ever`: it starts only if somebody changes something."""

    reason: str
    for_ever: bool = False


def how_it_ended(job: Any, pod: Any) -> Ended | None:  # noqa: ANN401
    """Tell from a Job's status and pod (may be None) how it ended; None if it has not ended."""
    state = _state(pod)
    # A cluster may add a container to the pod, which may outlive the container of the job.
    terminated = state.terminated if state else None
    if job.succeeded or (terminated and terminated.exit_code == 0):
        return Ended(True)
    if not (job.failed or terminated):
        return None
    if pod is None:
        return Ended(False, _reason_of_job(job) or "its pod was deleted")
    if disruption := _disruption(pod):
        return Ended(False, f"its pod failed: {disruption}")
    if terminated is None:
        return Ended(False, "its pod failed before its container started")
    if terminated.reason == "OOMKilled":
        reason = "its pod was killed: it needed more memory than it had (OOMKilled)"
        return Ended(False, reason, has_log=True)
    reason = f"its pod ended with {terminated.exit_code}"
    return Ended(False, reason, has_log=True, log_explains=True)


def what_it_waits_for(pod: Any) -> Waiting | None:  # noqa: ANN401
    """Tell why a pod does not start, such as a missing image; None if it runs or will soon."""
    state = _state(pod)
    if state:
        reason = state.waiting and state.waiting.reason
        if reason in (None, "ContainerCreating", "PodInitializing"):
            return None
        return Waiting(_joined(reason, state.waiting.message), reason in NEVER_STARTS)
    unmet = _condition(pod.status.conditions, "PodScheduled", "False")
    return Waiting(_joined(unmet.reason, unmet.message)) if unmet else None


def explained(log: str) -> str:
    """Give the last line of a pod's log that is meant for people."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("meanface: ")]
    return (ours or lines or ["it left no log"])[-1]


def _state(pod: Any) -> Any:  # noqa: ANN401
    """Give the state of the container that runs the job; None before this container exists."""
    statuses = (pod.status.container_statuses or []) if pod else []
    return next((one.state for one in statuses if one.name == CONTAINER), None)


def _disruption(pod: Any) -> str:  # noqa: ANN401
    """Tell why the cluster ended a pod, such as an eviction; empty if the cluster did not."""
    if pod.status.reason:
        return _joined(pod.status.reason, pod.status.message)
    found = _condition(pod.status.conditions, "DisruptionTarget", "True")
    return _joined(found.reason, found.message) if found else ""


def _reason_of_job(job: Any) -> str:  # noqa: ANN401
    """Tell why a Job failed for another reason than the end of its pod; else empty."""
    failed = _condition(job.conditions, "Failed", "True")
    if failed is None or failed.reason in (None, "BackoffLimitExceeded"):
        return ""
    return f"its Job failed: {_joined(failed.reason, failed.message)}"


def _condition(conditions: Iterable[Any] | None, kind: str, status: str) -> Any:  # noqa: ANN401
    found = (one for one in conditions or [] if (one.type, one.status) == (kind, status))
    return next(found, None)


def _joined(reason: str | None, message: str | None) -> str:
    return ": ".join(filter(None, [reason, message]))
