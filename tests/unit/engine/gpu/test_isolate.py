"""What is done on a GPU and what on processors. The GPU's engine is a stand-in, in its process."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from meanface.engine.gpu import isolate
from meanface.engine.gpu.isolate import encode_on_gpu
from meanface.engine.outcome import Failure, Outcome
from meanface.engine.stub import StubEngine
from meanface.errors import UserError
from meanface.shards.manifest import Photo
from tests.unit.engines import settings

# Python imports sitecustomize at its start. Names of photos tell what the stand-in does with them.
STAND_IN = """
import ctypes, os, signal, sys, types

if "meanface.engine.gpu.child" in sys.orig_argv:
    from meanface.engine.outcome import Failure
    from meanface.errors import UserError

    def outcome(photo):
        kind = photo.path.partition(" ")[0]
        if kind == "segfault":
            ctypes.string_at(0)
        if kind == "hang":
            signal.pause()
        if kind == "memory":
            raise RuntimeError("CUDA out of memory")
        if kind == "shown":
            return Failure("gpu", os.environ["CUDA_VISIBLE_DEVICES"])
        return None if kind == "left" else Failure("gpu", photo.path)

    class GpuEngine:
        def __init__(self, settings, models):
            if "broken" in models:
                ctypes.string_at(0)

        def encode(self, batches):
            for photos in batches:
                yield [outcome(photo) for photo in photos]

    def limit_memory(megabytes):
        if megabytes < 1000:
            raise UserError(f"{megabytes} MB are too few")

    engine = types.ModuleType("meanface.engine.gpu.engine")
    engine.GpuEngine, engine.limit_memory = GpuEngine, limit_memory
    sys.modules[engine.__name__] = engine
"""
SECONDS = 1.0


@pytest.fixture(autouse=True)
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(isolate, "_PHOTOS", 4)  # so that few photos are several batches


def photos(*kinds: str) -> list[Photo]:
    return [
        Photo(f"{kind} {number}", 1, hashlib.sha256(f"{kind} {number}".encode()).hexdigest(), b"x")
        for number, kind in enumerate(kinds)
    ]


def encode(
    batches: Sequence[Sequence[Photo]], models: dict[str, Path] | None = None, gpu_mb: int = 2000
) -> list[list[Outcome]]:
    stub = settings(encoder="stub", device="cuda")
    results = encode_on_gpu(
        stub, models or {}, batches, seconds=SECONDS, gpu_mb=gpu_mb, processes=2
    )
    return list(results)


def is_of_gpu(outcome: Outcome, photo: Photo) -> bool:
    """Whether the GPU encoded it; else it must have what processors give for it."""
    if isinstance(outcome, Failure):
        assert outcome == Failure("gpu", photo.path)
        return True
    [face] = outcome
    [faces] = StubEngine().encode([photo])
    assert not isinstance(faces, Failure)
    [expected] = faces
    assert face.embedding.tobytes() == expected.embedding.tobytes()
    return False


def where(batches: Sequence[Sequence[Photo]], results: list[list[Outcome]]) -> dict[str, bool]:
    """For each photo, whether the GPU encoded it; batches and photos must be in order."""
    assert [len(one) for one in results] == [len(batch) for batch in batches]
    return {
        photo.path: is_of_gpu(outcome, photo)
        for batch, outcomes in zip(batches, results, strict=True)
        for photo, outcome in zip(batch, outcomes, strict=True)
    }


def in_batches(some: list[Photo], size: int) -> list[list[Photo]]:
    return [some[start : start + size] for start in range(0, len(some), size)]


@pytest.mark.parametrize("size", [1, 3, 4, 50])
def test_what_the_gpu_leaves_goes_to_processors_and_the_order_stays(size: int) -> None:
    batches = in_batches(photos(*["good", "left", "left", "good", "good"] * 6), size)
    found = where(batches, encode(batches))
    assert found == {path: path.startswith("good") for path in found}
    assert len(found) == 30


def test_batches_without_photos() -> None:
    assert encode([]) == []
    [some] = [photos("good")]
    results = encode([[], some, []])
    assert where([[], some, []], results) == {"good 0": True}


@pytest.mark.parametrize("fault", ["segfault", "memory", "hang"])
def test_a_gpu_process_that_dies_costs_no_photo(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = ["good"] * 6 + [fault] + ["good"] * 5 + ["left"] + ["good"] * 3 + [fault] + ["good"] * 7
    batches = in_batches(photos(*kinds), 4)
    found = where(batches, encode(batches))
    on_gpu = {number for number, is_there in enumerate(found.values()) if is_there}
    # The photos of the two batches with a fault went to processors, and the one that was left.
    assert on_gpu == {*range(24)} - {*range(4, 8), 12, *range(16, 20)}
    expected = {"segfault": "signal SIGSEGV", "memory": "out_of_memory", "hang": "longer than 1 s"}
    deaths = [one.message for one in caplog.records if "GPU died" in one.message]
    assert len(deaths) == 2
    assert all(expected[fault] in line for line in deaths)


def test_every_batch_may_die() -> None:
    batches = in_batches(photos(*["segfault", "good", "good", "good"] * 5), 4)
    found = where(batches, encode(batches))
    assert not any(found.values())


def test_processes_that_keep_dying_before_the_engine_is_open_end_in_one_line() -> None:
    with pytest.raises(UserError, match=r"cannot be opened.*signal SIGSEGV"):
        encode([photos("good")], {"broken": Path("model")})


def test_an_error_for_people_passes_through() -> None:
    with pytest.raises(UserError, match="500 MB are too few"):
        encode([photos("good")], gpu_mb=500)


def test_a_failure_on_processors_is_raised() -> None:
    """The stub needs the sha256, in hexadecimal; children log the exception and end."""
    with pytest.raises(RuntimeError):
        encode([[Photo("left 0", 1, "no hexadecimal", b"x")]])


def test_the_reader_may_stop_early() -> None:
    batches = in_batches(photos(*["good", "left"] * 30), 4)
    stub = settings(encoder="stub", device="cuda")
    results = encode_on_gpu(stub, {}, iter(batches), seconds=SECONDS, gpu_mb=2000)
    assert len(next(results)) == 4
    results.close()  # type: ignore[attr-defined]


def test_jobs_at_a_time_use_different_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    stub = settings(encoder="stub", device="cuda")
    batches = in_batches(photos(*["shown"] * 8), 4)
    first, second = (
        encode_on_gpu(stub, {}, batches, seconds=SECONDS, gpu_mb=2000) for _ in range(2)
    )
    both = [*zip(first, second, strict=True)]  # the first is open while the second starts
    assert both == [([Failure("gpu", "4")] * 4, [Failure("gpu", "7")] * 4)] * 2
