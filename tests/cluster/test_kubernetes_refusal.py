"""An API server that refuses in the middle of a run, as when a role is taken away."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kubernetes_cluster import Cluster, cluster
from tests.cluster.test_kubernetes import MERGED, run_volume

pytestmark = pytest.mark.needs("rsync")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as one:
        yield one


def test_a_refusal_in_the_middle_ends_the_run_with_a_line(here: Cluster) -> None:
    answer: Callable[[str, str, dict[str, Any]], tuple[int, Any]] = here.answer
    asked: list[str] = []

    def refuse(method: str, url: str, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "GET" and url.endswith("/status"):
            asked.append(url)
            message = 'jobs.batch is forbidden: User "x" cannot get resource "jobs/status"'
            return 403, {"kind": "Status", "message": message}
        return answer(method, url, body)

    here.answer = refuse  # type: ignore[method-assign]
    done = run_volume(here, MERGED, encoder="stub")
    assert done.code != 0
    assert len(asked) == 1, "asked again"
    assert re.search(
        r"kubernetes: how Job snakejob-\S+ is doing is not told in namespace meanface: 403 \w+:"
        r' jobs.batch is forbidden: User "x" cannot get resource "jobs/status"',
        done.output,
    )
    assert "Traceback" not in done.output
    assert not here.left_behind
