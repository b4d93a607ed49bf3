"""The process that owns a GPU. `meanface.engine.gpu.isolate` starts it, with a socket to it."""

import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from queue import Queue
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any, NoReturn

from meanface.engine.child import NO_MEMORY, SECONDS_TO_OPEN
from meanface.engine.gpu_check import check_gpu
from meanface.errors import UserError
from meanface.process import end_with_parent
from meanface.shards.manifest import Photo

log = logging.getLogger(__name__)


def serve(connection: Connection) -> NoReturn:
    """Open the engine, then encode batches of photos that the parent sends, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    end_with_parent()
    lock = Lock()  # a log record may come from another thread than results

    def send(message: object) -> None:
        with lock:
            connection.send(message)

    try:
        settings, models, seconds, gpu_mb, level = connection.recv()
        to_parent: Any = SimpleNamespace(put_nowait=send)
        logging.basicConfig(level=level, handlers=[QueueHandler(to_parent)])
        logging.captureWarnings(True)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_OPEN)
        try:
            from meanface.engine.gpu.engine import GpuEngine, limit_memory  # PyTorch takes seconds
        except ModuleNotFoundError:
            check_gpu()  # names the package
            raise

        limit_memory(gpu_mb)
        engine = GpuEngine(settings, models)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(None)
        # The parent keeps few batches under way, so reading ahead never blocks it.
        received: Queue[list[Photo] | None] = Queue()
        Thread(target=_receive, args=(connection, received), daemon=True).start()
        limit = _Limit(seconds)
        for outcomes in engine.encode(_watched(received, limit)):
            limit.pause()
            send(outcomes)
            limit.end()
    except MemoryError:
        os._exit(NO_MEMORY)
    except (EOFError, ConnectionError):  # the parent is gone
        os._exit(0)
    except UserError as error:
        send(error)
    except Exception as error:
        log.exception("the process on the GPU gave up")
        os._exit(NO_MEMORY if "out of memory" in str(error).lower() else 1)
    os._exit(0)


def _receive(connection: Connection, received: "Queue[list[Photo] | None]") -> None:
    try:
        while True:
            received.put(connection.recv())
    except (EOFError, OSError):
        log.debug("the parent is gone")
    finally:
        received.put(None)


class _Limit:
    """Ends the process when the oldest batch takes longer than the sum of its photos' limits.

    The time of a batch begins when the outcomes of the batch before are sent.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sizes: deque[int] = deque()
        self._lock = Lock()

    def begin(self, photos: int) -> None:
        with self._lock:
            self._sizes.append(photos)
            if len(self._sizes) == 1:
                self._arm()

    def pause(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def end(self) -> None:
        with self._lock:
            self._sizes.popleft()
            self._arm()

    def _arm(self) -> None:
        most = self._seconds * self._sizes[0] if self._sizes else 0
        signal.setitimer(signal.ITIMER_REAL, most)


def _watched(received: "Queue[list[Photo] | None]", limit: _Limit) -> Iterator[list[Photo]]:
    while (photos := received.get()) is not None:
        limit.begin(len(photos))
        yield photos


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
