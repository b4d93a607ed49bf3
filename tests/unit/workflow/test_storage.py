"""What a run with storage needs: told in a line before any job."""

from types import SimpleNamespace
from typing import Any

import pytest

from meanface.errors import UserError
from meanface.workflow import storage
from meanface.workflow.storage import check_storage

GOOD = {"shards": 64, "cache": "s3://bucket/cache", "file_rows": None}


@pytest.fixture(autouse=True)
def _bucket_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/cluster/test_kubernetes_waits.py has a missing bucket and an S3 that is silent."""
    monkeypatch.setattr(storage, "_check_bucket", lambda *_: None)


def workflow(provider: str, exists: object = False, *, main: bool = True) -> Any:  # noqa: ANN401
    """A workflow whose storage answers `exists`, or raises it."""

    def answer() -> object:
        if isinstance(exists, Exception):
            raise exists
        return exists

    plugin = SimpleNamespace(object=lambda _: SimpleNamespace(exists=answer))
    return SimpleNamespace(
        is_main_process=main,
        storage_settings=SimpleNamespace(
            default_storage_provider=provider, default_storage_prefix=f"{provider}://bucket/x/"
        ),
        storage_registry=SimpleNamespace(default_storage_provider=plugin),
    )


@pytest.mark.parametrize("cache", ["s3://bucket/cache", None])
@pytest.mark.parametrize("exists", [True, False])
def test_what_will_do(cache: str | None, exists: bool) -> None:
    check_storage(workflow("s3", exists), GOOD | {"cache": cache})


@pytest.mark.parametrize(
    ("provider", "config", "message"),
    [
        ("s3", {"shards": "auto"}, "config: shards: write a number"),
        ("fs", {"file_rows": 10_000_000}, "config: file_rows: write null"),
        ("s3", {"cache": "results/cache"}, "config: cache: write an address"),
        ("s3", {"cache": "/data/cache"}, "config: cache: write an address"),
        ("fs", {"cache": "results/cache"}, "config: cache: write an address"),
    ],
)
def test_a_config_that_will_not_do(provider: str, config: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_storage(workflow(provider), GOOD | config)


def test_a_volume_needs_rsync_and_may_hold_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    config = GOOD | {"cache": "/data/cache"}
    monkeypatch.setattr(storage, "which", lambda _: "/usr/bin/rsync")
    check_storage(workflow("fs"), config)
    monkeypatch.setattr(storage, "which", lambda _: None)
    with pytest.raises(UserError, match="rsync is missing"):
        check_storage(workflow("fs"), config)
    check_storage(workflow("fs", main=False), config)


def test_a_storage_that_cannot_be_used_is_one_line() -> None:
    refused = workflow("s3", OSError("403:\n  Forbidden"))
    with pytest.raises(UserError) as error:
        check_storage(refused, GOOD)
    assert str(error.value) == (
        "s3://bucket/x/: cannot be used; check the address and the credentials: 403: Forbidden"
    )
    check_storage(workflow("s3", OSError("a pod's affair"), main=False), GOOD)
