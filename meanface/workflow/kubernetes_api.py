"""Speaks with the API server of Kubernetes.

Import this module only if the package `kubernetes` is installed.
"""

import json
import os
from typing import Any

from kubernetes.client import ApiClient, V1OwnerReference
from kubernetes.client.rest import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from urllib3.exceptions import HTTPError

SECONDS_TO_ANSWER = (10, 60)
"""Timeouts to connect, and to answer. The package `kubernetes` would wait for ever."""

NO_ANSWER = (ApiException, HTTPError)
"""What a request raises if the API server refuses it, or is away."""


class BoundedClient(ApiClient):  # type: ignore[misc]
    """A client of the API server that waits no longer than SECONDS_TO_ANSWER."""

    def request(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Make a request, as ApiClient does."""
        options["_request_timeout"] = options.get("_request_timeout") or SECONDS_TO_ANSWER
        return super().request(*arguments, **options)


def connect() -> BoundedClient:
    """Find the API server in kubectl's configuration or, in a pod, by the pod's account.

    Raises ConfigException if there is neither.
    """
    try:
        load_kube_config()
    except ConfigException:
        load_incluster_config()
    return BoundedClient()


def owners() -> list[V1OwnerReference]:
    """Give the pod in which this process runs, with which Kubernetes removes what it owns.

    Empty outside of the controller's pod.
    """
    name, uid = os.environ.get("MEANFACE_POD_NAME"), os.environ.get("MEANFACE_POD_UID")
    if not (name and uid):
        return []
    return [V1OwnerReference(api_version="v1", kind="Pod", name=name, uid=uid)]


def is_refusal(error: BaseException) -> bool:
    """Tell whether the API server refuses an account or a right."""
    return isinstance(error, ApiException) and error.status in (401, 403)


def is_away(error: BaseException) -> bool:
    """Tell whether a retry may succeed: the API server is away or overloaded."""
    if isinstance(error, ApiException):
        return bool(error.status == 429 or error.status >= 500)
    return isinstance(error, HTTPError)


def one_line(error: Exception) -> str:
    """Give what the API server answered, or why there was no answer."""
    if not isinstance(error, ApiException):
        return " ".join(str(error).split())
    try:
        message = json.loads(error.body or "{}").get("message", "")
    except (ValueError, AttributeError):
        message = ""
    return ": ".join(filter(None, [f"{error.status} {error.reason}", " ".join(message.split())]))
