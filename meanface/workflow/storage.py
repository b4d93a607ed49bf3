"""Check runs whose files are in storage, as on Kubernetes, before any job starts."""

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
    try:
        internals.ask_storage(workflow, f"{prefix.rstrip('/')}/results/summary.json")
    except Exception as error:  # each plugin raises its own errors
        reason = " ".join(str(error).split())
        raise UserError(
            f"{prefix}: cannot be used; check the address and the credentials: {reason}"
        ) from error


def use_our_executor() -> None:
    """Use our executor for Kubernetes if the plugin of Kubernetes is installed."""
    if internals.has_executor("kubernetes"):
        # Imported here, because the plugin is optional and takes a second to import.
        from meanface.workflow.kubernetes_executor import KubernetesExecutor

        internals.replace_executor("kubernetes", KubernetesExecutor)
