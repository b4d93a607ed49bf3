"""Check runs whose files are in storage, as on Kubernetes, before any job starts."""

import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any

from meanface.errors import UserError
from meanface.workflow import snakemake_internals as internals


def check_storage(workflow: internals.Workflow, config: Mapping[str, Any]) -> None:
    """Check the configuration of a run with storage, and that the storage can be used.

    Raises UserError for a wrong setting or unusable storage. Only the user's process asks storage.
    """
    if config["shards"] == "auto":
        raise UserError("config: shards: write a number; pods can't look at the photos")
    if config["file_rows"] is not None:
        raise UserError("config: file_rows: write null; a folder of files is not kept in storage")
    # All pods see the same path only on a shared volume.
    on_volume = internals.storage_provider(workflow) == "fs"
    cache = config["cache"]
    if cache and "://" not in cache and not (on_volume and Path(cache).is_absolute()):
        raise UserError("config: cache: write an address that all pods reach, or null")
    if not internals.is_main_process(workflow):
        return
    if on_volume and which("rsync") is None:
        raise UserError("rsync is missing, which storage on a volume needs: apt-get install rsync")
    prefix = internals.storage_prefix(workflow)
    if internals.storage_provider(workflow) == "s3":
        _check_bucket(workflow, prefix)
    try:
        internals.ask_storage(workflow, f"{prefix.rstrip('/')}/results/summary.json")
    except Exception as error:  # each plugin raises its own errors
        reason = " ".join(str(error).split())
        raise UserError(
            f"{prefix}: cannot be used; check the address and the credentials: {reason}"
        ) from error


def _check_bucket(workflow: internals.Workflow, prefix: str) -> None:
    """Check an address in S3: the plugin would create a missing bucket, and wait for minutes."""
    # Imported here, because only the plugin for S3 brings the package.
    from boto3 import client
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    given = internals.storage_settings(workflow)
    bucket = prefix.removeprefix("s3://").partition("/")[0]
    try:
        client(
            "s3",
            endpoint_url=given.endpoint_url,
            region_name=given.region,
            aws_access_key_id=given.access_key,
            aws_secret_access_key=given.secret_key,
            aws_session_token=given.token,
            config=Config(connect_timeout=10, read_timeout=20, retries={"total_max_attempts": 2}),
        ).head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise UserError(
                f"{prefix}: there is no bucket {bucket}; check the name, or create the bucket: "
                f"`aws s3 mb s3://{bucket}`"
            ) from error
        # What is refused, a request for a file tells better.
    except BotoCoreError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{prefix}: cannot be reached; check the address and, on Kubernetes, that network.yaml "
            f"lets pods reach its port: {reason}"
        ) from error


def use_our_executor(workflow: internals.Workflow) -> None:
    """Use our executor for Kubernetes, and hold the results, if its plugin is installed."""
    if not internals.has_executor("kubernetes"):
        return
    # Imported here, because the plugin is optional and takes a second to import.
    from meanface.workflow.kubernetes_executor import KubernetesExecutor
    from meanface.workflow.lease import hold_results

    def hold(settings: Any) -> None:  # noqa: ANN401
        try:
            hold_results(settings.namespace, internals.storage_prefix(workflow).rstrip("/"))
        except UserError as error:
            sys.exit(f"meanface: {error}")

    internals.replace_executor("kubernetes", KubernetesExecutor)
    internals.before_run_with(workflow, KubernetesExecutor, hold)
