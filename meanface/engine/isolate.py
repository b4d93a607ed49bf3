"""Encode photos in child processes: a photo that kills its process fails alone.

Native libraries that decode foreign bytes may crash, hang or take all memory. So the engine runs in
child processes with limits on time and memory. When a child dies, its photos are tried one by one.
A photo that kills a new child is a Failure: `crashed`, `timeout` or `out_of_memory`.

Every fault ends the child, which closes the socket to its parent. The kernel ends a child whose
time is up (SIGALRM) and, on Linux, a child whose parent is gone. This guards against accidents. A
child is no sandbox.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from meanface.engine import child
from meanface.engine.outcome import Failure, Outcome
from meanface.engine.settings import EngineSettings
from meanface.engine.worker import Death, Worker
from meanface.errors import UserError
from meanface.shards.manifest import Photo

log = logging.getLogger(__name__)

_STARTS = 3  # so many children in a row may die before their engine is open


def encode_isolated(
    settings: EngineSettings,
    models: Mapping[str, Path],
    batches: Iterable[Sequence[Photo]],
    *,
    seconds: float,
    memory: int | None = None,
    processes: int = 1,
) -> Iterator[list[Outcome]]:
    """Yield for each batch, in order, the results of Engine(settings, models).encode.

    * `seconds`: the time limit of a photo.
    * `memory`: the limit on the private writable memory of a child, in bytes (RLIMIT_DATA; Linux
      only).
    * `processes`: the number of children. At most twice as many batches are in memory.

    The first child starts with the first batch. All children end with this iterator.

    Raises UserError where the engine cannot be opened, and RuntimeError for every other exception
    of a child, which is in the log.
    """
    remaining = iter(batches)
    under_way: deque[_Batch] = deque()  # in order: finished batches wait for those before them
    busy: dict[_Child, _Batch] = {}
    idle: list[_Child] = []
    died_early = 0

    def new_child() -> _Child:
        return _Child(settings, models, seconds, memory)

    def hand_out(batch: _Batch, child: _Child) -> None:
        busy[child] = batch
        child.send(batch.to_try)

    try:
        while True:
            while len(busy) < processes and len(under_way) < 2 * processes:
                if (photos := next(remaining, None)) is None:
                    break
                under_way.append(_Batch(photos))
                hand_out(under_way[-1], idle.pop() if idle else new_child())
            if not under_way:
                return
            for child in _with_news(busy):
                answer = child.receive()
                if answer is None:
                    continue
                batch = busy.pop(child)
                if isinstance(answer, Death):
                    died_early = 0 if child.is_open else died_early + 1
                    if died_early == _STARTS:
                        raise UserError(
                            f"the engine cannot be opened: {_STARTS} processes in a row died of "
                            f"it, the last one {answer.reason}, {answer.detail}"
                        )
                    if child.is_open:
                        batch.killed_its_child(answer, is_fresh=child.is_fresh)
                    child = new_child()
                else:
                    died_early = 0
                    batch.results += answer
                if batch.is_done:
                    idle.append(child)
                else:
                    hand_out(batch, child)
            while under_way and under_way[0].is_done:
                yield under_way.popleft().results
    finally:
        for child in (*busy, *idle):
            child.end()


class _Batch:
    """Photos, and the results known so far, in the same order."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._photos = photos
        self._one_by_one = False
        self.results: list[Outcome] = []

    @property
    def is_done(self) -> bool:
        return len(self.results) == len(self._photos)

    @property
    def to_try(self) -> Sequence[Photo]:
        """The photos that a child encodes next."""
        done = len(self.results)
        return self._photos[done : done + 1] if self._one_by_one else self._photos

    def killed_its_child(self, death: Death, *, is_fresh: bool) -> None:
        """Note that `to_try` killed a child. `is_fresh`: the child had no photos before."""
        path, *others = (photo.path for photo in self.to_try)
        log.warning("%s, %s: %r and %d more", death.reason, death.detail, path, len(others))
        # In a child that is not fresh, an earlier photo may be the cause.
        if self._one_by_one and is_fresh:
            self.results.append(Failure(death.reason, death.detail))
        self._one_by_one = True


class _Child:
    """A process with an engine, and whether it has encoded yet."""

    def __init__(
        self,
        settings: EngineSettings,
        models: Mapping[str, Path],
        seconds: float,
        memory: int | None,
    ) -> None:
        level = logging.getLogger().level
        self._worker = Worker(
            child.__name__,
            *(settings, models, seconds, memory, level),
            seconds=seconds,
            most_memory=f"{memory / 1e6:.0f} MB" if memory else "there is",
        )
        self.is_fresh = True  # has not encoded yet

    @property
    def is_open(self) -> bool:
        return self._worker.is_open

    @property
    def connection(self) -> Connection:
        return self._worker.connection

    def send(self, photos: Sequence[Photo]) -> None:
        """Send photos to encode, as soon as the engine is open."""
        self._worker.send(len(photos), *photos)  # one by one: there may be many

    def receive(self) -> "list[Outcome] | Death | None":
        """Give the results of the photos sent, or how the child died, or None: more will come.

        Raises an exception that the child sends.
        """
        answer: Any = self._worker.receive()
        if answer is None or isinstance(answer, Death):
            return answer
        self.is_fresh = False
        results: list[Outcome] = answer
        return results

    def end(self) -> None:
        """Kill the child if it is alive."""
        self._worker.end()


def _with_news(children: Iterable[_Child]) -> list[_Child]:
    """Wait for children that have sent something, and give them."""
    ready = wait([child.connection for child in children])
    return [child for child in children if child.connection in ready]
