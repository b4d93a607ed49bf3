"""Encode on a GPU in one process of its own, and on processors what the GPU leaves.

The GPU takes whole JPEGs of usual kinds and faces that are surely upright. All else goes to the
processes of `meanface.engine.isolate`, with their limits: other formats, broken and hostile files,
tilted faces, and the photos under way when the GPU's process dies.
"""

import logging
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread
from typing import Any

from meanface.engine.child import NO_MEMORY, SECONDS_TO_OPEN
from meanface.engine.isolate import encode_isolated
from meanface.engine.outcome import Outcome
from meanface.engine.settings import EngineSettings
from meanface.errors import UserError
from meanface.process import child_environment
from meanface.shards.manifest import Photo

log = logging.getLogger(__name__)

_STARTS = 3  # so many processes in a row may die before their engine is open
_AHEAD = 3  # batches that are with the GPU's process: computed, decoded and on the way
_PHOTOS, _BYTES = 4096, 64 << 20  # of a batch at most


def encode_on_gpu(
    settings: EngineSettings,
    models: Mapping[str, Path],
    batches: Iterable[Sequence[Photo]],
    *,
    seconds: float,
    gpu_mb: int,
    memory: int | None = None,
    processes: int = 1,
) -> Iterator[list[Outcome]]:
    """Yield for each batch, in order, the outcomes of its photos.

    * `seconds`: the time limit of a photo. Photos on the GPU have the sum of their limits.
    * `gpu_mb`: the most memory of the GPU that PyTorch takes, in MB.
    * `memory`, `processes`: those of `encode_isolated`, for what the GPU leaves.

    Raises UserError where the engine cannot be opened, and RuntimeError for every other exception
    of a child, which is in the log.
    """
    rest = _Rest(settings.on_processor(), models, seconds, memory, processes)
    remaining = _regrouped(batches)
    under_way: deque[_Batch] = deque()  # in order
    on_gpu: deque[_Batch] = deque()
    child: _GpuChild | None = None
    deaths = 0  # in a row
    photos = 0
    try:
        while True:
            while len(on_gpu) < _AHEAD and (batch := next(remaining, None)) is not None:
                under_way.append(batch)
                photos += len(batch.photos)
                if deaths >= _STARTS:
                    rest.take(batch)
                    continue
                on_gpu.append(batch)
                child = child or _GpuChild(settings, models, seconds, gpu_mb)
                child.send(batch)
            if child and on_gpu:
                outcomes = child.receive()
                if isinstance(outcomes, str):
                    log.warning("the process on the GPU died: %s", outcomes)
                    deaths += 1
                    if deaths == _STARTS and not child.is_open:
                        raise UserError(
                            f"the engine cannot be opened: {_STARTS} processes in a row died of "
                            f"it, the last one {outcomes}"
                        )
                    is_open, child = child.is_open, None
                    if is_open:  # the next process gets the batches behind the first
                        rest.take(on_gpu.popleft())
                    if deaths == _STARTS:
                        log.error("the GPU is given up: %d processes in a row died", _STARTS)
                        while on_gpu:
                            rest.take(on_gpu.popleft())
                        continue
                    for batch in on_gpu:
                        child = child or _GpuChild(settings, models, seconds, gpu_mb)
                        child.send(batch)
                elif outcomes is not None:
                    deaths = 0
                    batch = on_gpu.popleft()
                    batch.outcomes = outcomes
                    rest.take(batch)
            if not on_gpu:
                rest.end()
            while under_way and (under_way[0].is_done or not on_gpu):
                yield from under_way.popleft().divided()
            if not on_gpu:
                level = logging.WARNING if 2 * rest.taken > photos else logging.INFO
                log.log(level, "%d of %d photos were left to the processor", rest.taken, photos)
                return
    finally:
        if child:
            child.end()
        rest.stop()


class _Batch:
    """Photos on the way, the sizes of the batches that they came in, and their outcomes."""

    def __init__(self, photos: Sequence[Photo], sizes: Sequence[int]) -> None:
        self.photos = photos
        self._sizes = sizes
        self.outcomes: list[Outcome | None] = [None] * len(photos)

    @property
    def is_done(self) -> bool:
        return all(outcome is not None for outcome in self.outcomes)

    def divided(self) -> Iterator[list[Outcome]]:
        """Yield the outcomes of each batch that photos came in."""
        start = 0
        for size in self._sizes:
            some = self.outcomes[start : start + size]
            yield [outcome for outcome in some if outcome is not None]
            start += size


def _regrouped(batches: Iterable[Sequence[Photo]]) -> Iterator[_Batch]:
    """Join batches: a GPU is fast with many photos at a time."""
    photos: list[Photo] = []
    sizes: list[int] = []
    held = 0
    for batch in batches:
        photos += batch
        sizes.append(len(batch))
        held += sum(len(photo.data) for photo in batch)
        if len(photos) >= _PHOTOS or held >= _BYTES:
            yield _Batch(photos, sizes)
            photos, sizes, held = [], [], 0
    if sizes:
        yield _Batch(photos, sizes)


class _Rest:
    """Encodes what the GPU leaves, in a thread that waits for processes."""

    def __init__(
        self,
        settings: EngineSettings,
        models: Mapping[str, Path],
        seconds: float,
        memory: int | None,
        processes: int,
    ) -> None:
        # Bounded: the GPU waits where the processors have too much to do, and few photos are held.
        self._queue: Queue[tuple[_Batch, int, Photo] | None] = Queue(2 * processes)
        self._error: BaseException | None = None
        self.taken = 0
        given: deque[tuple[_Batch, int]] = deque()

        def photos() -> Iterator[list[Photo]]:
            while (one := self._queue.get()) is not None:
                batch, index, photo = one
                given.append((batch, index))
                yield [photo]

        def encode() -> None:
            try:
                for [outcome] in encode_isolated(
                    settings, models, photos(), seconds=seconds, memory=memory, processes=processes
                ):
                    batch, index = given.popleft()
                    batch.outcomes[index] = outcome
            except BaseException as error:
                self._error = error

        self._thread = Thread(target=encode)
        self._thread.start()

    def take(self, batch: _Batch) -> None:
        """Encode the photos of the batch that have no outcome yet. Raises what went wrong."""
        for index, (photo, outcome) in enumerate(zip(batch.photos, batch.outcomes, strict=True)):
            if outcome is None:
                self.taken += 1
                self._put((batch, index, photo))
        batch.photos = ()

    def _put(self, one: tuple[_Batch, int, Photo] | None) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(one, timeout=1)
            except Full:
                continue
            return
        if self._error:
            raise self._error

    def end(self) -> None:
        """Wait until all is encoded. Raises what went wrong."""
        self._put(None)
        self._thread.join()
        if self._error:
            raise self._error

    def stop(self) -> None:
        """Give up what is not begun."""
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()


class _GpuChild:
    """The process on the GPU, seen from its parent."""

    def __init__(
        self, settings: EngineSettings, models: Mapping[str, Path], seconds: float, gpu_mb: int
    ) -> None:
        self._seconds = seconds
        self.is_open = False
        self._waiting: list[Sequence[Photo]] = []
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "meanface.engine.gpu.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=child_environment(),
            )
        self._send((settings, models, seconds, gpu_mb, logging.getLogger().level))

    def send(self, batch: _Batch) -> None:
        """Send photos to encode, as soon as the engine is open."""
        if self.is_open:
            self._send(list(batch.photos))
        else:
            self._waiting.append(list(batch.photos))

    def _send(self, message: object) -> None:
        try:
            self._connection.send(message)
        except ConnectionError:
            log.debug("the process on the GPU is gone")  # `receive` tells why

    def receive(self) -> list[Outcome | None] | str | None:
        """Give the outcomes of a batch, or how the process died, or None: more will come."""
        try:
            message: Any = self._connection.recv()
        except (EOFError, OSError):  # it may die while it sends
            return self._death()
        if isinstance(message, Exception):
            raise message
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
            return None
        if message is None:
            self.is_open = True
            waiting, self._waiting = self._waiting, []
            for photos in waiting:
                self._send(photos)
            return None
        outcomes: list[Outcome | None] = message
        return outcomes

    def end(self) -> int:
        """Kill the process if it is alive. Give its exit status as subprocess does."""
        self._connection.close()
        self._process.kill()
        return self._process.wait()

    def _death(self) -> str:
        status = self.end()
        if status == -signal.SIGALRM:
            return f"timeout, longer than {self._seconds if self.is_open else SECONDS_TO_OPEN:g} s"
        if status == NO_MEMORY:
            return "out_of_memory, see gpu_mb"
        if status < 0:
            names = [one.name for one in signal.Signals if one == -status]
            return f"crashed, signal {names[0] if names else -status}"
        return f"crashed, exit status {status}"
