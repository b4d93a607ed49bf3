"""Runs whose files are in storage, as on Kubernetes: what they need, checked before any job."""

from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any

from meanface.errors import UserError
from meanface.workflow import snakemake_internals as internals


def check_storage(workflow: internals.Workflow, config: Mapping[str, Any]) -> None:
    """Check the configuration of a run with storage, and that the storage can be used.

    Raises UserError for what will not do. The storage is asked by the user's process alone.
    """
    if config["shards"] == "auto":
        raise UserError("config: shards: write a number; pods can't look at the photos")
    # A path is the same for all pods only on a volume that they share.
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
    except Exception as error:  # each plugin has its own
        reason = " ".join(str(error).split())
        raise UserError(
            f"{prefix}: cannot be used; check the address and the credentials: {reason}"
        ) from error


def use_our_executor() -> None:
    """Have our executor look after the Jobs of Kubernetes, where its plugin is installed."""
    if internals.has_executor("kubernetes"):
        # Imported only here: the plugin is an extra, and takes a second to import.
        from meanface.workflow.kubernetes_executor import KubernetesExecutor

        internals.replace_executor("kubernetes", KubernetesExecutor)
