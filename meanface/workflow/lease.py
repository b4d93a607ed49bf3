"""Keeps two runs on Kubernetes out of the same results, by a Lease.

A run holds the Lease of its results and renews it. A killed run stops renewing, so the next run
takes the Lease over once it has expired. As in Kubernetes' own leader election, what counts is how
long the Lease has stayed the same, so clocks that differ do no harm. Import this module only if the
package `kubernetes` is installed.
"""

import atexit
import os
import signal
import sys
from datetime import UTC, datetime
from hashlib import sha256
from platform import node
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import uuid4

from kubernetes.client import ApiClient, CoordinationV1Api, V1Lease, V1LeaseSpec, V1ObjectMeta
from kubernetes.client.rest import ApiException
from kubernetes.config import ConfigException

from meanface.errors import UserError
from meanface.workflow.kubernetes_api import NO_ANSWER, connect, is_away, one_line, owners

SECONDS_HELD = 60
"""The Lease of a killed run expires this long after its last renewal."""
SECONDS_TO_RENEW = 10

# Before the underscore is what people look for: the pod, or the machine of a run elsewhere.
_HOLDER = "_".join(
    [
        os.environ.get("MEANFACE_POD_NAME") or node(),
        os.environ.get("MEANFACE_POD_UID") or str(uuid4()),
    ]
)


def hold_results(namespace: str, results: str) -> None:
    """Hold the Lease of the results at an address until this process ends.

    Raises UserError if another run holds it, or if the API server cannot be used.
    """
    try:
        ResultsLease(connect(), namespace, results).acquire()
    except (*NO_ANSWER, ConfigException) as error:
        raise UserError(f"kubernetes: cannot be used: {one_line(error)}") from error


class ResultsLease:
    """The Lease of the results at an address."""

    def __init__(self, client: ApiClient, namespace: str, results: str) -> None:
        self._api, self._namespace, self._results = CoordinationV1Api(client), namespace, results
        self._name = f"meanface-{sha256(results.encode()).hexdigest()[:12]}"
        self._ended = Event()
        self._renewal = Thread(target=self._renew, daemon=True)

    def acquire(self) -> None:
        """Take the Lease, and renew it until this process ends.

        Waits until the Lease of a run that may have been killed has expired. Raises UserError if
        the run is alive, ApiException or HTTPError if the API server refuses or is away.
        """
        seen: Any = None
        since = 0.0
        while other := self._take(seen if seen and _expired(seen, since) else None):
            if seen is None:
                seen, since = other, monotonic()
                print(f"meanface: waits for the run in {_pod(other)} to end", file=sys.stderr)
            elif _state(other) != _state(seen):
                raise UserError(
                    f"{self._results} is in use by the run in {_pod(other)}: wait for its end, or "
                    "end it with `kubectl delete job meanface --cascade=foreground`"
                )
            self._ended.wait(1)
        self._renewal.start()
        atexit.register(self._release)

    def _take(self, expired: V1Lease | None = None) -> V1Lease | None:
        """Take or renew the Lease; give the Lease if another run holds it, None if this run does.

        An `expired` Lease is taken over.
        """
        # A MicroTime has six digits, which isoformat leaves out where they are zero.
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond or 1)
        try:
            lease = self._api.read_namespaced_lease(self._name, self._namespace)
            if lease.spec.holder_identity != _HOLDER:
                if expired is None or _state(lease) != _state(expired):
                    return lease
                lease.spec.acquire_time = now
                lease.spec.lease_transitions = (lease.spec.lease_transitions or 0) + 1
                lease.metadata.owner_references = owners()
            lease.spec.holder_identity, lease.spec.renew_time = _HOLDER, now
            # Refused if somebody changed the Lease since it was read.
            self._api.replace_namespaced_lease(self._name, self._namespace, lease)
        except ApiException as error:
            if error.status == 409:
                return self._take(expired)
            if error.status != 404:
                raise
            return self._create(now)
        return None

    def _create(self, now: datetime) -> V1Lease | None:
        spec = V1LeaseSpec(
            holder_identity=_HOLDER,
            lease_duration_seconds=SECONDS_HELD,
            acquire_time=now,
            renew_time=now,
        )
        metadata = V1ObjectMeta(name=self._name, owner_references=owners())
        try:
            self._api.create_namespaced_lease(
                self._namespace, V1Lease(metadata=metadata, spec=spec)
            )
        except ApiException as error:
            if error.status != 409:
                raise
            return self._take()
        return None

    def _renew(self) -> None:
        while not self._ended.wait(SECONDS_TO_RENEW):
            try:
                other = self._take()
            except NO_ANSWER as error:
                if is_away(error):
                    continue
                reason = one_line(error)
            else:
                if other is None:
                    continue
                reason = f"the run in {_pod(other)} has taken the Lease over"
            print(f"meanface: {self._results} is no longer held: {reason}", file=sys.stderr)
            os.kill(os.getpid(), signal.SIGINT)
            return

    def _release(self) -> None:
        self._ended.set()
        self._renewal.join()
        try:
            lease = self._api.read_namespaced_lease(self._name, self._namespace)
            if lease.spec.holder_identity == _HOLDER:
                self._api.delete_namespaced_lease(self._name, self._namespace)
        except NO_ANSWER:
            pass  # it expires


def _pod(lease: V1Lease) -> str:
    return str(lease.spec.holder_identity).partition("_")[0]


def _state(lease: V1Lease) -> tuple[Any, ...]:
    return lease.spec.holder_identity, lease.spec.renew_time, lease.spec.lease_transitions


def _expired(lease: V1Lease, since: float) -> bool:
    return bool(monotonic() - since > (lease.spec.lease_duration_seconds or 0))
