"""The process that owns a GPU. `meanface.engine.gpu.isolate` starts it, with a socket to it."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from queue import Queue
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any, NoReturn

from meanface.engine.child import NO_MEMORY, SECONDS_TO_OPEN
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
        from meanface.engine.gpu.engine import GpuEngine, limit_memory  # PyTorch takes seconds

        limit_memory(gpu_mb)
        engine = GpuEngine(settings, models)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(None)
        # The parent keeps few batches under way, so reading ahead never blocks it.
        received: Queue[list[Photo] | None] = Queue()
        Thread(target=_receive, args=(connection, received), daemon=True).start()
        for outcomes in engine.encode(_watched(received, seconds)):
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(outcomes)
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
        received.put(None)


def _watched(received: "Queue[list[Photo] | None]", seconds: float) -> Iterator[list[Photo]]:
    while (photos := received.get()) is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds * len(photos))
        yield photos


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
