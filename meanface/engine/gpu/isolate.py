"""Encode on a GPU in one process of its own, and on processors what the GPU leaves.

The GPU takes whole JPEGs of usual kinds and faces that are surely upright. All else goes to the
processes of `meanface.engine.isolate`, with their limits: other formats, broken and hostile files,
tilted faces, and the photos under way when the GPU's process dies.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread
from typing import Any

from meanface.engine.gpu.devices import own_gpu
from meanface.engine.isolate import encode_isolated
from meanface.engine.outcome import Outcome
from meanface.engine.settings import EngineSettings
from meanface.engine.worker import Death, Worker
from meanface.errors import UserError
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
    with own_gpu() as shown:
        rest = _Rest(settings.on_processor(), models, seconds, memory, processes)
        start = partial(_start, settings, models, seconds, gpu_mb, shown)
        yield from _encode(_regrouped(batches), start, rest)


def _encode(
    remaining: Iterator["_Batch"], start: Callable[[], Worker], rest: "_Rest"
) -> Iterator[list[Outcome]]:
    under_way: deque[_Batch] = deque()  # in order
    on_gpu: deque[_Batch] = deque()
    child: Worker | None = None
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
                child = child or start()
                child.send(list(batch.photos))
            if child and on_gpu:
                outcomes: Any = child.receive()
                if isinstance(outcomes, Death):
                    cause = f"{outcomes.reason}, {outcomes.detail}"
                    log.warning("the process on the GPU died: %s", cause)
                    deaths += 1
                    if deaths == _STARTS and not child.is_open:
                        raise UserError(
                            f"the engine cannot be opened: {_STARTS} processes in a row died of "
                            f"it, the last one {cause}"
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
                        child = child or start()
                        child.send(list(batch.photos))
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


def _start(
    settings: EngineSettings,
    models: Mapping[str, Path],
    seconds: float,
    gpu_mb: int,
    shown: Mapping[str, str],
) -> Worker:
    level = logging.getLogger().level
    return Worker(
        "meanface.engine.gpu.child",
        *(settings, models, seconds, gpu_mb, level),
        seconds=seconds,
        most_memory="there is, see gpu_mb",
        variables=shown,
    )
