"""Photos that kill the process that encodes them, with real processes that really die."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from meanface.engine.engine import Engine
from meanface.engine.export import export
from meanface.engine.isolate import encode_isolated
from meanface.engine.outcome import Failure, Outcome
from meanface.engine.settings import EngineSettings
from meanface.errors import UserError
from meanface.shards.manifest import Photo
from tests.runs import FAULT_INJECTION, ROOT

DEFAULTS = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
# Three of them fail in any process, as truncated or without a face.
PHOTOS = (
    *(f"Eileen_Collins/Eileen_Collins_000{number}.jpg" for number in (1, 2, 6, 9)),
    "Failures/Cut_off.jpg",
    *(f"Grace_Hopper/Grace_Hopper_000{number}.jpg" for number in (1, 2, 3, 4)),
    "Failures/Brick_wall.jpg",
    "Both/Both_0001.jpg",
    "Both/Both_0002.jpg",
)
SECONDS = 3  # for a photo that hangs; the others get ample time on a busy machine
MEMORY = 1_000_000_000
# What is recorded of a photo that is given each of the faults.
FAULTS = {
    "segfault": ("crashed", "signal SIGSEGV"),
    "exit": ("crashed", "exit status 3"),
    "kill": ("out_of_memory", "signal SIGKILL, as sent where memory runs out"),
    "oom": ("out_of_memory", "more than 1000 MB"),
    "hang": ("timeout", "longer than 3 s"),
    "slow": ("timeout", "longer than 3 s"),  # but not longer than its batch together
}


def settings(**overrides: object) -> EngineSettings:
    """An engine that opens fast."""
    few = {"device": "cpu", "detectors": ["hog@0"], "hog": "full"}
    return EngineSettings.of(DEFAULTS | few | overrides)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = {Path(name).stem: folder / name for name in settings().models}
    for name, path in paths.items():
        export(name, path)
    return paths


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    with tarfile.open(ROOT / "sample/sample.tar.gz") as tar:
        data = {name: tar.extractfile(f"sample/{name}").read() for name in PHOTOS}  # type: ignore[union-attr]
    return [Photo(name, len(content), "", content) for name, content in data.items()]


@pytest.fixture(scope="module")
def wanted(models: dict[str, Path], photos: list[Photo]) -> dict[str, Outcome]:
    """What the engine gives in this process, by path."""
    results = Engine(settings(), models).encode(photos)
    assert sum(isinstance(result, list) for result in results) == 9
    return {photo.path: result for photo, result in zip(photos, results, strict=True)}


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert psutil.Process().children(recursive=True) == []


def inject(monkeypatch: pytest.MonkeyPatch, faults: dict[str, str]) -> None:
    monkeypatch.syspath_prepend(FAULT_INJECTION)
    monkeypatch.setenv("MEANFACE_TEST_FAULTS", json.dumps(faults))


def in_batches(photos: Sequence[Photo], size: int) -> list[Sequence[Photo]]:
    return [photos[start : start + size] for start in range(0, len(photos), size)]


def check(
    batches: Sequence[Sequence[Photo]],
    results: Sequence[Sequence[Outcome]],
    wanted: dict[str, Outcome],
    faults: dict[str, str],
) -> None:
    """Each photo with a fault failed of it; of every other, each bit is as in this process."""
    assert [len(one) for one in results] == [len(batch) for batch in batches]
    for batch, given in zip(batches, results, strict=True):
        for photo, result in zip(batch, given, strict=True):
            expected = wanted[photo.path]
            if photo.path in faults:
                assert result == Failure(*FAULTS[faults[photo.path]])
            elif isinstance(expected, Failure):
                assert result == expected
            else:
                assert isinstance(result, list), result
                assert len(result) == len(expected)
                for one, other in zip(result, expected, strict=True):
                    assert (one.face, one.faces, one.detector) == (
                        other.face,
                        other.faces,
                        other.detector,
                    )
                    assert one.embedding.dtype == np.float32
                    assert np.array_equal(one.embedding, other.embedding)


# --- photos that kill ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_a_photo_that_kills_fails_alone_wherever_it_stands_in_its_batch(
    models: dict[str, Path],
    photos: list[Photo],
    wanted: dict[str, Outcome],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    batches = in_batches(photos, 3)
    faults = {batches[place][place].path: fault for place in range(3)}  # the last one has none
    inject(monkeypatch, faults)
    seconds = SECONDS if fault in ("hang", "slow") else 600
    results = encode_isolated(
        settings(), models, batches, seconds=seconds, memory=MEMORY, processes=3
    )
    check(batches, list(results), wanted, faults)


@pytest.mark.parametrize(
    "faults",
    [["segfault"], ["exit", "oom", ""], ["", "kill", "segfault"], ["oom", "exit", "segfault"]],
    ids=["alone", "first and second", "second and third", "all"],
)
def test_each_of_several_photos_that_kill_fails(
    models: dict[str, Path],
    photos: list[Photo],
    wanted: dict[str, Outcome],
    monkeypatch: pytest.MonkeyPatch,
    faults: list[str],
) -> None:
    of = {photo.path: fault for photo, fault in zip(photos, faults, strict=False) if fault}
    inject(monkeypatch, of)
    batches = in_batches(photos[: 2 * len(faults)], len(faults))
    results = list(encode_isolated(settings(), models, batches, seconds=600, memory=MEMORY))
    check(batches, results, wanted, of)


def test_a_photo_too_large_for_the_memory_fails_alone(
    models: dict[str, Path], photos: list[Photo], wanted: dict[str, Outcome]
) -> None:
    """Without a fault put in: its pixels take 100 MB, and several times that to decode."""
    stream = io.BytesIO()
    Image.new("RGBA", (5000, 5000), (90, 120, 150, 200)).save(stream, "PNG", compress_level=1)
    large = Photo("large.png", len(stream.getvalue()), "", stream.getvalue())
    batch = [photos[0], large, photos[1]]
    (results,) = encode_isolated(settings(), models, [batch], seconds=600, memory=400_000_000)
    assert results[1] == Failure("out_of_memory", "more than 400 MB")
    check([photos[:2]], [results[::2]], wanted, {})


def test_a_photo_does_not_fail_of_what_another_one_left_behind(
    models: dict[str, Path],
    photos: list[Photo],
    wanted: dict[str, Outcome],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each of two photos leaks half a gigabyte: one is within the limit, both are not."""
    inject(monkeypatch, {photos[0].path: "leak", photos[2].path: "leak"})
    batches = [photos[:3]]
    results = list(encode_isolated(settings(), models, batches, seconds=600, memory=MEMORY))
    check(batches, results, wanted, {})
    assert "out_of_memory" in caplog.text


def test_a_process_killed_from_outside_costs_no_photo(
    models: dict[str, Path],
    photos: list[Photo],
    wanted: dict[str, Outcome],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One is killed while a photo keeps it busy for ever, the other one while it is idle."""
    inject(monkeypatch, {photos[0].path: "hang"})
    batches = in_batches(photos, 3)

    def reading() -> Iterator[Sequence[Photo]]:
        yield batches[0]
        yield batches[1]
        # Asked for by the process that is done with its photos.
        inject(monkeypatch, {})
        first, second = psutil.Process().children()
        for process in (first, second):
            process.kill()
        yield from batches[2:]

    results = encode_isolated(settings(), models, reading(), seconds=600, processes=2)
    check(batches, list(results), wanted, {})
    assert "SIGKILL" in caplog.text


# Stands before the real dlib: crashes once where the file beside it says so.
FRAGILE_DLIB = """
import ctypes, pathlib, sys
here = pathlib.Path(__file__).parent
try:
    (here / "crash").unlink()
except FileNotFoundError:
    sys.path.remove(str(here))
    del sys.modules["dlib"]
    import dlib
else:
    ctypes.string_at(0)
"""


def test_a_process_that_dies_before_its_engine_is_open_costs_no_photo(
    models: dict[str, Path],
    photos: list[Photo],
    wanted: dict[str, Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "dlib.py").write_text(FRAGILE_DLIB)
    monkeypatch.syspath_prepend(tmp_path)
    batches = [photos[:1], photos[1:2]]

    def reading() -> Iterator[Sequence[Photo]]:
        yield batches[0]
        (process,) = psutil.Process().children()
        process.kill()
        (tmp_path / "crash").touch()  # for the one that takes its place
        yield batches[1]
        assert not (tmp_path / "crash").exists()

    results = encode_isolated(settings(), models, reading(), seconds=600)
    check(batches, list(results), wanted, {})


# --- without faults ------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "processes"), [(5, 1), (1, 3)])
def test_results_come_in_order_with_few_batches_read_ahead(
    models: dict[str, Path],
    photos: list[Photo],
    wanted: dict[str, Outcome],
    size: int,
    processes: int,
) -> None:
    batches = in_batches(photos, size)
    read = 0

    def reading() -> Iterator[Sequence[Photo]]:
        nonlocal read
        for batch in batches:
            read += 1
            yield batch

    results: list[list[Outcome]] = []
    for one in encode_isolated(settings(), models, reading(), seconds=600, processes=processes):
        assert read - len(results) <= 2 * processes
        assert len(psutil.Process().children()) <= processes
        results.append(one)
    check(batches, results, wanted, {})


def test_where_there_are_no_photos_nothing_is_started() -> None:
    assert list(encode_isolated(settings(), {}, [], seconds=600)) == []


def test_an_iterator_that_is_closed_early_leaves_no_process(
    models: dict[str, Path], photos: list[Photo]
) -> None:
    batches = in_batches(photos, 3)
    with closing(
        encode_isolated(settings(), models, batches, seconds=600, processes=2)  # type: ignore[type-var]
    ) as results:
        assert len(next(results)) == 3
        assert len(psutil.Process().children()) == 2
    assert psutil.Process().children() == []


def test_what_a_process_logs_is_in_the_log_of_its_parent(
    models: dict[str, Path], photos: list[Photo], caplog: pytest.LogCaptureFixture
) -> None:
    broken = settings(detect_pixels=-1)  # which the schema of the config does not allow
    (results,) = encode_isolated(broken, models, [photos[:2]], seconds=600)
    assert results == [Failure("error", "ValueError: math domain error") for photo in photos[:2]]
    assert repr(photos[1].path) in caplog.text
    assert "Traceback" in caplog.text


# --- how they start ------------------------------------------------------------------------------

# For the children: each tells that it has started, and begins when the test lets it.
AT_THE_START = """
import socket, sys

if "meanface.engine.child" in sys.orig_argv:
    try:
        with socket.socket(socket.AF_UNIX) as gate:
            gate.settimeout(60)
            gate.connect({path!r})
            begin = gate.recv(1)
    except OSError:
        begin = b""
    if not begin:
        sys.exit("the other process does not start")
"""


def test_no_process_waits_until_another_has_taken_its_photos(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A path that is short enough for a socket.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as gate:
        gate.bind(f"{folder}/gate")
        gate.listen()
        (tmp_path / "sitecustomize.py").write_text(AT_THE_START.format(path=f"{folder}/gate"))
        monkeypatch.syspath_prepend(tmp_path)

        def open_when_both_are_there() -> None:
            with gate.accept()[0] as first, gate.accept()[0] as second:
                first.sendall(b"1")
                second.sendall(b"2")

        Thread(target=open_when_both_are_there, daemon=True).start()
        batches = [LARGE, LARGE]
        results = list(encode_isolated(settings(), models, batches, seconds=60, processes=2))
    assert [len(outcomes) for outcomes in results] == [len(LARGE)] * 2


# --- what fails for every photo ------------------------------------------------------------------

# More than what a socket holds.
LARGE = [Photo(f"{number}.jpg", 10**6, "", bytes(10**6)) for number in range(8)]


def test_a_missing_model_is_an_error_not_a_failure_of_each_photo(
    models: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = tmp_path / "nowhere.onnx"
    with pytest.raises(RuntimeError, match=r"nowhere\.onnx"):
        list(encode_isolated(settings(), models | {"encoder": missing}, [LARGE], seconds=600))
    assert "Traceback" in caplog.text


def test_processes_that_keep_dying_before_the_engine_is_open_end_in_one_line(
    models: dict[str, Path],
    photos: list[Photo],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "dlib.py").write_text("import ctypes\nctypes.string_at(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"cannot be opened.*signal SIGSEGV"):
        list(encode_isolated(settings(), models, [photos], seconds=600, processes=2))


# --- the end of the parent -----------------------------------------------------------------------

PARENT = """
import signal, sys
from pathlib import Path
import psutil
from tests.unit.engine import test_isolate
from meanface.engine.isolate import encode_isolated
from meanface.shards.manifest import Photo

def batches():
    yield [Photo("hang", 0, "", b"")]
    yield [Photo("quick", 0, "", b"")]
    # Asked for when a process is done with the quick one.
    print(*(child.pid for child in psutil.Process().children()), flush=True)
    yield [Photo("hang", 0, "", b"")]

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
models = {path.stem: path for path in Path(sys.argv[1]).iterdir()}
list(encode_isolated(test_isolate.settings(), models, batches(), seconds=600, processes=2))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_with_its_parent(models: dict[str, Path], how: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(models["encoder"].parent)],
        env=os.environ
        | {"PYTHONPATH": f"{FAULT_INJECTION}:{ROOT}", "MEANFACE_TEST_FAULTS": '{"hang": "hang"}'},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with parent:
        assert parent.stdout
        assert parent.stderr
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        try:
            if how == signal.SIGINT:  # Ctrl-C reaches all processes at the terminal
                os.killpg(parent.pid, how)
            else:
                parent.send_signal(how)
            assert parent.wait(60) == -how
            _, alive = psutil.wait_procs(children, timeout=60)
            assert alive == []
        finally:
            with suppress(ProcessLookupError):  # as it should be
                os.killpg(parent.pid, signal.SIGKILL)
        assert parent.stderr.read().count("Traceback") == (how == signal.SIGINT)
