"""What would wait for ever, ends with a line, and leaves nothing behind."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubernetes_cluster import Cluster, Fault, cluster
from tests.cluster.test_kubernetes import MERGED, Bucket, bucket, run_s3, run_volume, s3
from tests.runs import Run

__all__ = ["bucket", "s3"]
pytestmark = pytest.mark.needs("rsync")

NO_NODE = "0/1 nodes are available: 1 Insufficient cpu."
QUOTA = "exceeded quota: team, requested: limits.cpu=2, used: limits.cpu=8, limited: limits.cpu=8"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as one:
        yield one


def run(here: Cluster) -> Run:
    return run_volume(here, MERGED, encoder="stub", cache=None)


def check_end(here: Cluster, done: Run, line: str) -> None:
    assert done.code != 0
    assert re.search(line, done.output), done.output
    assert "Traceback" not in done.output
    assert not here.left_behind


def test_pods_that_pod_security_refuses(here: Cluster) -> None:
    here.quota = 'violates PodSecurity "custom:latest": hostPath volumes'
    done = run(here)
    check_end(
        here, done, r"a pod cannot start: Error creating: pods are forbidden: violates PodSec"
    )


def test_pods_that_a_quota_refuses(here: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other pods may end, so the run waits for a while. Every pod waits for the same, in a line."""
    monkeypatch.setenv("MEANFACE_POD_MINUTES", "0.05")
    here.quota = QUOTA
    done = run(here)
    check_end(here, done, f"a pod cannot start: Error creating: pods are forbidden: {QUOTA}")
    assert done.output.count("a pod waits: ") == 1


def test_pods_that_fit_on_no_node(here: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEANFACE_POD_MINUTES", "0.05")
    here.fault = lambda command: Fault("unschedulable", NO_NODE)
    done = run(here)
    check_end(here, done, f"a pod cannot start: Unschedulable: {NO_NODE}")
    assert done.output.count("a pod waits: ") == 1


@pytest.mark.parametrize(
    ("right", "line"),
    [
        ("list pods", "how Job snakejob-.* is doing is not told in namespace meanface: 403"),
        ("list events", "how Job snakejob-.* is doing is not told in namespace meanface: 403"),
        ("create secrets", "kubernetes: cannot be used: 403"),
        ("create jobs", "Job snakejob-.* could not be created in namespace meanface: 403"),
        ("get leases", "meanface: kubernetes: cannot be used: 403"),
    ],
)
def test_a_missing_right_is_named(here: Cluster, right: str, line: str) -> None:
    here.taken_away = {right}
    if right == "list events":
        here.quota = QUOTA
    verb, kind = right.split()
    check_end(here, run(here), f'{line}.*cannot {verb} resource "{kind}"')


def test_a_bucket_that_is_not_there_is_not_created(here: Cluster, bucket: Bucket) -> None:
    mistyped = Bucket(bucket.url, f"{bucket.name}-x")
    done = run_s3(here, mistyped, encoder="stub", shards=2)
    check_end(here, done, f"meanface: s3://{mistyped.name}/meanface: there is no bucket")
    assert mistyped.name not in {one.name for one in bucket.service.buckets.all()}


def test_an_s3_that_does_not_answer(here: Cluster) -> None:
    """As behind a NetworkPolicy without its port: nobody takes the connection."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        full = [socket.socket() for _ in range(4)]  # the queue of connections
        for one in full:
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = run_s3(here, Bucket(url, "b"), encoder="stub", shards=2)
        for one in full:
            one.close()
    check_end(here, done, "meanface: s3://b/meanface: cannot be reached; .*network.yaml")


def hold(here: Cluster, *, renewed: bool) -> dict[str, Any]:
    """Have another run hold the Lease of the results; it is alive if the Lease is renewed."""
    name = f"meanface-{sha256(str(here.folder / 'data').encode()).hexdigest()[:12]}"
    time = "2026-01-01T00:00:00.000001Z"
    spec = {
        "holderIdentity": "meanface-abcde_1-2-3",
        "leaseDurationSeconds": 60 if renewed else 1,
        "acquireTime": time,
        "renewTime": time,
    }
    here.leases[name] = {"metadata": {"name": name, "resourceVersion": "1"}, "spec": spec}
    answer, asked = here.answer, iter(range(1, 60))

    def renew(method: str, url: str, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "GET" and "/leases/" in url and renewed:
            spec["renewTime"] = f"2026-01-01T00:00:{next(asked):02}.000001Z"
        return answer(method, url, body)

    here.answer = renew  # type: ignore[method-assign]
    return here.leases[name]


def test_a_second_run_of_the_same_results_is_refused(here: Cluster) -> None:
    lease = hold(here, renewed=True)
    done = run(here)
    assert done.code != 0
    assert f"meanface: {here.folder}/data is in use by the run in meanface-abcde: " in done.output
    assert "Traceback" not in done.output
    assert not here.submitted
    assert not (here.folder / "data/results").exists()
    assert [lease] == list(here.leases.values())


def test_the_lease_of_a_killed_run_is_taken_over(here: Cluster) -> None:
    hold(here, renewed=False)
    done = run(here)
    assert done.code == 0, done.output
    assert "meanface: waits for the run in meanface-abcde to end" in done.output
    assert not here.left_behind


def test_the_controllers_pod_owns_all_objects(
    here: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEANFACE_POD_NAME", "meanface-x")
    monkeypatch.setenv("MEANFACE_POD_UID", "12345678-0000-0000-0000-000000000000")
    here.fault = lambda command: os.kill(here.controller, signal.SIGKILL)
    assert run(here).code == -signal.SIGKILL
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "meanface-x"}
    owner["uid"] = "12345678-0000-0000-0000-000000000000"
    for objects in (here.jobs, here.secrets, here.leases):
        assert objects
        for one in objects.values():
            assert one["metadata"]["ownerReferences"] == [owner]
