"""Encode photos in child processes: a photo that kills its process fails alone.

Native libraries that decode foreign bytes may crash, hang or take all memory. So the engine runs in
child processes with limits on time and memory. When a child dies, its photos are tried one by one.
A photo that kills a new child is a Failure: `crashed`, `timeout` or `out_of_memory`.

Every fault ends the child, which closes the socket to its parent. The kernel ends a child whose
time is up (SIGALRM) and, on Linux, a child whose parent is gone. This guards against accidents. A
child is no sandbox.
"""

import logging
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe, wait
from pathlib import Path

from meanface.engine import child
from meanface.engine.child import NO_MEMORY, SECONDS_TO_OPEN
from meanface.engine.outcome import Failure, Outcome
from meanface.engine.settings import EngineSettings
from meanface.errors import UserError
from meanface.process import child_environment
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
                if isinstance(answer, _Death):
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


@dataclass(frozen=True)
class _Death:
    """Why a child died, in the words of a Failure."""

    reason: str
    detail: str


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

    def killed_its_child(self, death: _Death, *, is_fresh: bool) -> None:
        """Note that `to_try` killed a child. `is_fresh`: the child had no photos before."""
        path, *others = (photo.path for photo in self.to_try)
        log.warning("%s, %s: %r and %d more", death.reason, death.detail, path, len(others))
        # In a child that is not fresh, an earlier photo may be the cause.
        if self._one_by_one and is_fresh:
            self.results.append(Failure(death.reason, death.detail))
        self._one_by_one = True


class _Child:
    """A child process with an engine, seen from its parent."""

    def __init__(
        self,
        settings: EngineSettings,
        models: Mapping[str, Path],
        seconds: float,
        memory: int | None,
    ) -> None:
        self._seconds = seconds
        self._memory = memory
        self.is_open = False  # the engine
        self.is_fresh = True  # has not encoded yet
        self._photos: Sequence[Photo] = ()  # to be sent when it is open
        self.connection, theirs = Pipe()
        # Not a fork: what the parent imported or opened does no harm, and macOS works the same way.
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", child.__name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=child_environment(),
            )
        self._send(settings, models, seconds, memory, logging.getLogger().level)

    def send(self, photos: Sequence[Photo]) -> None:
        """Send photos to encode, as soon as the engine is open. A child reads nothing before."""
        self._photos = photos
        if self.is_open:
            self._send_photos()

    def _send_photos(self) -> None:
        self._send(len(self._photos), *self._photos)  # one by one: there may be many
        self._photos = ()

    def _send(self, *messages: object) -> None:
        with suppress(ConnectionError):  # the child is dead, which `receive` will notice
            for message in messages:
                self.connection.send(message)

    def receive(self) -> "list[Outcome] | _Death | None":
        """Give the results of the photos sent, or how the child died, or None: more will come.

        Raises an exception that the child sends.
        """
        try:
            message = self.connection.recv()
        except (EOFError, OSError):  # it may die while it sends
            return self._death()
        if isinstance(message, Exception):
            raise message
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
            return None
        if message is None:
            self.is_open = True
            self._send_photos()
            return None
        self.is_fresh = False
        results: list[Outcome] = message
        return results

    def end(self) -> int:
        """Kill the child if it is alive. Give its exit status as subprocess does."""
        self.connection.close()
        self._process.kill()  # does not change the status of a child that is about to exit
        return self._process.wait()

    def _death(self) -> _Death:
        status = self.end()
        if status == -signal.SIGALRM:
            limit = self._seconds if self.is_open else SECONDS_TO_OPEN
            return _Death("timeout", f"longer than {limit:g} s")
        if status == NO_MEMORY:
            most = f"{self._memory / 1e6:.0f} MB" if self._memory else "there is"
            return _Death("out_of_memory", f"more than {most}")
        if status == -signal.SIGKILL:
            return _Death("out_of_memory", "signal SIGKILL, as sent where memory runs out")
        if status < 0:
            names = [one.name for one in signal.Signals if one == -status]
            return _Death("crashed", f"signal {names[0] if names else -status}")
        return _Death("crashed", f"exit status {status}")


def _with_news(children: Iterable[_Child]) -> list[_Child]:
    """Wait for children that have sent something, and give them."""
    ready = wait([child.connection for child in children])
    return [child for child in children if child.connection in ready]
