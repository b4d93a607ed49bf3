"""Looks after the Jobs that Snakemake submits to Kubernetes.

The executor of snakemake-executor-plugin-kubernetes 0.5.1 submits Jobs well, but has three faults:
if a pod fails, it asks for the log of a container that never existed, which ends the whole run; if
the API server is away for a moment, it forgets jobs; and it leaves Jobs behind. So this class
submits as the plugin does, and does the rest itself. Import this module only if the plugin is
installed.
"""

import os
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn, TypeVar

from kubernetes.client import (
    BatchV1Api,
    CoreV1Api,
    V1Capabilities,
    V1DeleteOptions,
    V1Job,
    V1PodSecurityContext,
    V1SeccompProfile,
    V1Secret,
    V1SecurityContext,
)
from kubernetes.client.rest import ApiException
from kubernetes.config import ConfigException
from snakemake_executor_plugin_kubernetes import Executor, get_uuid
from snakemake_interface_common.exceptions import WorkflowError
from tenacity import RetryCallState, retry, retry_if_exception, stop_after_delay, wait_exponential

from meanface.wording import number_of
from meanface.workflow import snakemake_internals as internals
from meanface.workflow.kubernetes_api import (
    NO_ANSWER,
    BoundedClient,
    is_away,
    is_refusal,
    one_line,
    owners,
)
from meanface.workflow.pods import (
    CONTAINER,
    Ended,
    Waiting,
    explained,
    how_it_ended,
    what_it_waits_for,
)

Given = TypeVar("Given")

SECONDS_TO_CREATE = 60
"""While the API server is away, creating or removing something is retried this long."""
SECONDS_OF_SILENCE = 600
"""The run ends after this many seconds without an answer about a job."""
SECONDS_TO_START = 60 * float(os.environ.get("MEANFACE_POD_MINUTES", "10"))
"""The run ends if a pod cannot start and no pod of the run has run for so long. 0: never."""


class RestrictedJobs(BatchV1Api):  # type: ignore[misc]
    """Creates Jobs whose pods meet the pod security standard "restricted", and that we own."""

    def create_namespaced_job(self, namespace: str, body: V1Job, **options: Any) -> V1Job:  # noqa: ANN401
        """Create a Job, as BatchV1Api does.

        Raises WorkflowError, of one line, if the API server refuses the Job.
        """
        body.metadata.owner_references = owners()
        pod = body.spec.template.spec
        # A container that is privileged on demand (--kubernetes-privileged, --sdm) stays so.
        if not any(one.security_context for one in pod.containers):
            pod.security_context = V1PodSecurityContext(
                run_as_non_root=True, seccomp_profile=V1SeccompProfile(type="RuntimeDefault")
            )
            for one in pod.containers:
                one.security_context = V1SecurityContext(
                    allow_privilege_escalation=False, capabilities=V1Capabilities(drop=["ALL"])
                )
        try:
            return super().create_namespaced_job(namespace, body, **options)
        except ApiException as error:
            if is_away(error) or error.status == 409:
                raise
            raise WorkflowError(
                f"kubernetes: Job {body.metadata.name} could not be created in namespace "
                f"{namespace}: {one_line(error)}"
            ) from error


class OwnedSecrets(CoreV1Api):  # type: ignore[misc]
    """Creates Secrets that we own."""

    def create_namespaced_secret(self, namespace: str, body: V1Secret, **options: Any) -> V1Secret:  # noqa: ANN401
        """Create a Secret, as CoreV1Api does."""
        body.metadata.owner_references = owners()
        return super().create_namespaced_secret(namespace, body, **options)


def _say_away(attempt: RetryCallState) -> None:
    executor = attempt.args[0]
    if attempt.outcome and (error := attempt.outcome.exception()):
        executor.say(f"kubernetes: asked again later: {one_line(error)}")  # type: ignore[arg-type]


class KubernetesExecutor(Executor):  # type: ignore[misc]
    """Looks after submitted Jobs: retries requests, says why a pod failed, removes its Jobs."""

    def __post_init__(self) -> None:
        """Open the API. Raises WorkflowError if the API cannot be used."""
        self.submitted: set[str] = set()
        self.said: set[str] = set()
        # By Job name: the time since when the API server has not answered.
        self.silent: dict[str, float] = {}
        # When a pod of this run was last seen to run.
        self.last_ran = 0.0
        # By Job name: the time since when its pod cannot start.
        self.waits: dict[str, float] = {}
        try:
            super().__post_init__()
        except (*NO_ANSWER, ConfigException) as error:
            raise WorkflowError(f"kubernetes: cannot be used: {one_line(error)}") from error

    def register_secret(self) -> None:
        """Create the Secret with the environment of the pods: the plugin's first request."""
        self.kubeapi, self.batchapi = OwnedSecrets(BoundedClient()), RestrictedJobs(BoundedClient())
        # Snakemake would not remove the Secret of a run that has nothing to do.
        if internals.has_jobs(self.workflow):
            self._kubernetes_retry(super().register_secret)

    def unregister_secret(self) -> None:
        """Remove the Secret."""
        try:
            super().unregister_secret()
        except NO_ANSWER as error:
            self.say(
                f"kubernetes: Secret {self.run_namespace} could not be removed: {one_line(error)}"
            )

    def run_job(self, job: Any) -> None:  # noqa: ANN401
        """Submit a Job. Raises WorkflowError if the API server refuses the Job or is away."""
        # Noted before submitting, because a run may be stopped while the API server answers.
        name = f"snakejob-{get_uuid(f'{self.run_namespace}-{job.jobid}-{job.attempt}')}"
        self.submitted.add(name)
        try:
            super().run_job(job)
        except NO_ANSWER as error:
            self._give_up(f"Job {name} could not be created", error)

    @retry(
        retry=retry_if_exception(is_away),
        wait=wait_exponential(max=10),
        stop=stop_after_delay(SECONDS_TO_CREATE),
        before_sleep=_say_away,
        reraise=True,
    )
    def _kubernetes_retry(self, call: Callable[[], Given]) -> Given | None:
        """Create or remove something. The plugin does both through this method."""
        try:
            return call()
        except ApiException as error:
            # 409: the object exists. Only this run uses the name, so an earlier answer was lost.
            if error.status != 409:
                raise
            return None

    async def check_active_jobs(self, active_jobs: Sequence[Any]) -> AsyncGenerator[Any, None]:
        """Report the Jobs that ended, and yield the Jobs that have not ended."""
        for job_info in active_jobs:
            name = job_info.external_jobid
            async with self.status_rate_limiter:
                ended = self._answer(name)
            if ended is None:
                yield job_info
                continue
            if ended.succeeded:
                self.report_job_success(job_info)
            else:
                log = self._log_file(name)
                self.report_job_error(
                    job_info, msg=f"{ended.reason}. ", aux_logs=[str(log)] if log.exists() else []
                )
            self._remove(name)

    def cancel_jobs(self, active_jobs: Sequence[Any]) -> None:
        """Do nothing: `shutdown`, which comes next, removes all Jobs."""

    def shutdown(self) -> None:
        """Remove the Jobs and the Secret of this run."""
        for name in list(self.submitted):
            if not self._remove(name):
                left = f"{number_of(len(self.submitted), 'Job')} may be left"
                self.say(f"kubernetes: {left}; see `kubectl get jobs -l app=snakemake`")
                break
        super().shutdown()

    def say(self, text: str) -> None:
        """Log a warning, each text only once."""
        if text not in self.said:
            self.said.add(text)
            self.logger.warning(text)

    def _answer(self, name: str) -> Ended | None:
        """Ask how a Job ended; None if it has not ended, or if the API server does not answer.

        Raises WorkflowError, which ends the run, if the API server refuses an answer or has not
        answered for SECONDS_OF_SILENCE.
        """
        try:
            ended = self._how_it_ended(name)
        except NO_ANSWER as error:
            since = self.silent.setdefault(name, monotonic())
            if is_refusal(error):
                self._give_up(f"how Job {name} is doing is not told", error)
            if monotonic() - since > SECONDS_OF_SILENCE:
                self._give_up(f"no answer about Job {name} for {SECONDS_OF_SILENCE} s", error)
            self.say(f"kubernetes: asked again later: {one_line(error)}")
            return None
        self.silent.pop(name, None)
        return ended

    def _how_it_ended(self, name: str) -> Ended | None:
        """Ask how a Job ended; None if it has not ended. Raises ApiException, HTTPError."""
        try:
            job = self.batchapi.read_namespaced_job_status(name, self.namespace)
        except ApiException as error:
            if error.status == 404:
                return Ended(False, "its Job was deleted")
            raise
        pods = self.kubeapi.list_namespaced_pod(self.namespace, label_selector=f"job-name={name}")
        pod = next(iter(pods.items), None)
        ended = how_it_ended(job.status, pod)
        if ended and ended.has_log:
            explanation = self._explanation(name, pod)
            if ended.log_explains:
                return Ended(False, f"{ended.reason}: {explanation}")
        if ended is None:
            self._look_at_start(name, pod)
        return ended

    def _look_at_start(self, name: str, pod: Any) -> None:  # noqa: ANN401
        """Say what a pod waits for. Raises WorkflowError, which ends the run, if it waits in vain.

        It does if nothing but a change by somebody helps, or if it has waited for SECONDS_TO_START
        while no pod ran. Until then, another pod may end or the cluster may get a node.
        """
        waiting = what_it_waits_for(pod) if pod else self._refused_pod(name)
        if waiting is None:
            self.last_ran = monotonic()
            return
        since = max(self.waits.setdefault(name, monotonic()), self.last_ran)
        self.say(f"kubernetes: a pod waits: {waiting.reason}")
        in_vain = SECONDS_TO_START and monotonic() - since > SECONDS_TO_START
        if waiting.for_ever or in_vain:
            raise WorkflowError(f"kubernetes: a pod cannot start: {waiting.reason}")

    def _refused_pod(self, name: str) -> Waiting | None:
        """Tell why the cluster has not created the pod of a Job, which only events say."""
        events = self.kubeapi.list_namespaced_event(
            self.namespace,
            field_selector=f"involvedObject.name={name},reason=FailedCreate",
        )
        for event in events.items:
            # The message names the pod, whose name is another with each try.
            reason = re.sub(r' "[^"]*" is forbidden', " are forbidden", event.message or "")
            return Waiting(reason, for_ever="exceeded quota" not in reason)
        return None

    def _explanation(self, name: str, pod: Any) -> str:  # noqa: ANN401
        """Copy the log of a failed pod to a file; give the line that explains the failure."""
        try:
            text = self.kubeapi.read_namespaced_pod_log(
                pod.metadata.name, self.namespace, container=CONTAINER
            )
        except ApiException as error:
            if is_refusal(error) or is_away(error):
                raise
            return f"its log is gone: {one_line(error)}"  # with its node
        self._log_file(name).write_text(text)
        return explained(text)

    def _log_file(self, name: str) -> Path:
        return Path(self.log_path, f"{name}.log")

    def _remove(self, name: str) -> bool:
        """Remove a Job with its pod; tell whether the API server answered."""
        try:
            # The cluster removes the pod. safe_delete_job also needs the right to list pods.
            self.batchapi.delete_namespaced_job(
                name,
                self.namespace,
                body=V1DeleteOptions(propagation_policy="Background", grace_period_seconds=0),
            )
        except NO_ANSWER as error:
            if not (isinstance(error, ApiException) and error.status == 404):
                self.say(f"kubernetes: Job {name} could not be removed: {one_line(error)}")
                return isinstance(error, ApiException)
        self.submitted.discard(name)
        return True

    def _give_up(self, what: str, error: Exception) -> NoReturn:
        place = f"in namespace {self.namespace}"
        raise WorkflowError(f"kubernetes: {what} {place}: {one_line(error)}") from error
