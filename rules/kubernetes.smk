"""On Kubernetes: what stays on the controller, and what the executor's plugin gets wrong.

With snakemake-executor-plugin-kubernetes 0.5.1 alone, a pod that fails ends the whole run (it asks
for the log of a container that there is not), an API server that is away for a moment has jobs
forgotten, and Jobs are left behind. What it submits is right, so that only looking after the
submitted Jobs is done here.
"""

from dataclasses import dataclass
from shutil import which

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry


def check_storage():
    """Try the storage before any job does, for an error that says what to look at."""
    prefix = workflow.storage_settings.default_storage_prefix
    if on_volume and which("rsync") is None:
        sys.exit(
            "meanface: rsync is missing, which storage on a volume needs: apt-get install rsync"
        )
    place = f"{prefix.rstrip('/')}/results/summary.json"
    try:
        workflow.storage_registry.default_storage_provider.object(place).exists()
    except Exception as error:  # each plugin has its own
        reason = " ".join(str(error).split())
        sys.exit(
            f"meanface: {prefix}: cannot be used; check the address and the credentials: {reason}"
        )


if workflow.storage_settings.default_storage_provider:
    if config["shards"] == "auto":
        sys.exit(
            "meanface: config: shards: write a number; pods can't look at the photos"
        )
    # A path is the same for all pods only on a volume that they share.
    on_volume = workflow.storage_settings.default_storage_provider == "fs"
    if config["cache"] and "://" not in config["cache"]:
        if not (on_volume and Path(config["cache"]).is_absolute()):
            sys.exit(
                "meanface: config: cache: write an address that all pods reach, or null"
            )
    # The photos, or the way to them, may be the controller's alone.
    workflow.localrules(
        "download", "acquire", "divide", "shard", "plan", "export_model"
    )
    # A target has nothing to read. Snakemake does not fetch its files, and then misses them.
    for target in (known for known in workflow.rules if known.norun):
        for file in target.input:
            if not callable(file) and getattr(file, "is_storage", False):
                file.storage_object.retrieve = False
    if workflow.is_main_process:
        check_storage()


@dataclass
class Outcome:
    """How a Job ended: whether well, and why if not."""

    succeeded: bool
    reason: str = ""


def explained(log):
    """What the pod's log says last that is meant for people."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("meanface: ")]
    return (ours or lines or ["it left no log"])[-1]


def state_of_container(pod):
    """The state of the container that runs the job; None before there is one."""
    states = pod.status.container_statuses or []
    return next((one.state for one in states if one.name == "snakemake"), None)


def what_it_waits_for(pod):
    """Why a pod does not start, such as an image that is not there; empty where it will soon."""
    state = state_of_container(pod)
    if state and state.waiting:
        if state.waiting.reason in ("ContainerCreating", "PodInitializing"):
            return ""
        return f"{state.waiting.reason}: {state.waiting.message}"
    unmet = [
        one
        for one in pod.status.conditions or []
        if one.type == "PodScheduled" and one.status == "False"
    ]
    return unmet[0].message if unmet else ""


def use_our_executor():
    """Have the plugin's executor replaced; where there is no such plugin, do nothing."""
    registry = ExecutorPluginRegistry()
    if not registry.is_installed("kubernetes"):
        return
    from kubernetes.client.rest import ApiException
    from kubernetes.config import ConfigException
    from snakemake_executor_plugin_kubernetes import Executor, get_uuid
    from tenacity import retry, retry_if_exception, stop_after_delay, wait_exponential
    from urllib3.exceptions import HTTPError

    def one_line(error):
        if isinstance(error, ApiException):
            return f"{error.status} {error.reason}"
        return " ".join(str(error).split())

    def is_away(error):
        """Whether the API server may do a little later what it did not do now."""
        if isinstance(error, ApiException):
            return error.status == 429 or error.status >= 500
        return isinstance(error, HTTPError)

    def say_is_away(attempt):
        executor, error = attempt.args[0], attempt.outcome.exception()
        executor.say(f"kubernetes: asked again later: {one_line(error)}")

    class KubernetesExecutor(Executor):
        """Looks after submitted Jobs: asks again, says why a pod failed, leaves nothing behind."""

        def __post_init__(self):
            self.submitted = set()
            self.said = set()
            try:
                super().__post_init__()
            except (ApiException, ConfigException, HTTPError) as error:
                raise WorkflowError(f"kubernetes: cannot be used: {one_line(error)}")

        def register_secret(self):
            # Of a run with nothing to do, Snakemake would leave the Secret behind.
            if len(self.workflow.dag):
                self._kubernetes_retry(super().register_secret)

        def unregister_secret(self):
            try:
                super().unregister_secret()
            except (ApiException, HTTPError) as error:
                self.say(
                    f"kubernetes: Secret {self.run_namespace} could not be removed:"
                    f" {one_line(error)}"
                )

        def run_job(self, job):
            # Before it is submitted: a run may be stopped while the API server answers.
            name = get_uuid(f"{self.run_namespace}-{job.jobid}-{job.attempt}")
            self.submitted.add(f"snakejob-{name}")
            try:
                super().run_job(job)
            except HTTPError as error:
                raise WorkflowError(f"kubernetes: cannot be used: {one_line(error)}")

        @retry(
            retry=retry_if_exception(is_away),
            wait=wait_exponential(),
            stop=stop_after_delay(60),
            before_sleep=say_is_away,
            reraise=True,
        )
        def _kubernetes_retry(self, call):
            """Create or remove something; the plugin does so through this."""
            try:
                return call()
            except ApiException as error:
                # It is there: its name is of this run alone, so the answer to the last try was lost.
                if error.status != 409:
                    raise

        async def check_active_jobs(self, active_jobs):
            for job_info in active_jobs:
                async with self.status_rate_limiter:
                    try:
                        outcome = self.outcome_of(job_info.external_jobid)
                    except (ApiException, HTTPError) as error:
                        self.say(f"kubernetes: asked again later: {one_line(error)}")
                        outcome = None
                if outcome is None:
                    yield job_info
                    continue
                if outcome.succeeded:
                    self.report_job_success(job_info)
                else:
                    log = self.log_file(job_info.external_jobid)
                    self.report_job_error(
                        job_info,
                        msg=f"{outcome.reason}. ",
                        aux_logs=[str(log)] if log.exists() else [],
                    )
                self.remove(job_info.external_jobid)

        def outcome_of(self, name):
            """How the Job ended; None while it has not. Raises ApiException, HTTPError."""
            try:
                job = self.batchapi.read_namespaced_job_status(name, self.namespace)
            except ApiException as error:
                if error.status == 404:
                    return Outcome(False, "its Job was deleted")
                raise
            pods = self.kubeapi.list_namespaced_pod(
                self.namespace, label_selector=f"job-name={name}"
            ).items
            state = state_of_container(pods[0]) if pods else None
            # A container that a cluster adds to the pod may run on after ours.
            ended = state and state.terminated
            if job.status.succeeded or ended and ended.exit_code == 0:
                return Outcome(True)
            if job.status.failed or ended:
                return Outcome(False, self.reason(name, pods, ended))
            if pods and (awaited := what_it_waits_for(pods[0])):
                self.say(f"kubernetes: a pod waits: {awaited}")
            return None

        def reason(self, name, pods, ended):
            """Why a Job failed, in a line; the pod's log goes to a file."""
            if not pods:
                return "its pod was deleted"
            status = pods[0].status
            if not ended:
                return f"its pod failed: {status.reason}: {status.message}"
            text = self.kubeapi.read_namespaced_pod_log(
                pods[0].metadata.name, self.namespace, container="snakemake"
            )
            self.log_file(name).write_text(text)
            if ended.reason == "OOMKilled":
                return (
                    "its pod was killed: it needed more memory than it had (OOMKilled)"
                )
            return f"its pod ended with {ended.exit_code}: {explained(text)}"

        def log_file(self, name):
            return Path(self.log_path, f"{name}.log")

        def say(self, text):
            """Warn, of each thing once."""
            if text not in self.said:
                self.said.add(text)
                self.logger.warning(text)

        def remove(self, name):
            """Remove a Job with its pod."""
            try:
                self.safe_delete_job(name)
                self.submitted.discard(name)
            except (ApiException, HTTPError) as error:
                self.say(
                    f"kubernetes: Job {name} could not be removed: {one_line(error)}"
                )

        def shutdown(self):
            for name in list(self.submitted):
                self.remove(name)
            super().shutdown()

    registry.get_plugin("kubernetes").executor = KubernetesExecutor


# Pods have storage of some kind. Elsewhere the plugin's imports would slow every job down.
if workflow.is_main_process and workflow.storage_settings.default_storage_provider:
    use_our_executor()
