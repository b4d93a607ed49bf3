"""The process that encodes. `meanface.engine.isolate` starts it, with a socket to its parent."""

import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from meanface.engine.settings import EngineSettings
from meanface.errors import UserError
from meanface.process import end_with_parent
from meanface.shards.manifest import Photo

if TYPE_CHECKING:
    from meanface.engine.engine import Engine
    from meanface.engine.stub import StubEngine


log = logging.getLogger(__name__)

SECONDS_TO_OPEN = 600
"""The time limit for opening the engine. The models may be on a slow network."""

# Python itself never ends with it.
NO_MEMORY = 77
"""Exit status: the memory limit was reached."""


def serve(connection: Connection) -> NoReturn:
    """Open the engine, then encode the photos that the parent sends, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    end_with_parent()
    try:
        settings, models, seconds, memory, level = connection.recv()
        _limit_memory(memory)
        to_parent: Any = SimpleNamespace(put_nowait=connection.send)
        logging.basicConfig(level=level, handlers=[QueueHandler(to_parent)])
        logging.captureWarnings(True)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_TO_OPEN)
        engine = _open_engine(settings, models)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(None)
        while True:
            photos = [connection.recv() for _ in range(connection.recv())]
            results = engine.encode(_watched(photos, seconds))
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send(results)
    except MemoryError:
        os._exit(NO_MEMORY)
    except (EOFError, ConnectionError):  # the parent is gone
        os._exit(0)
    except UserError as error:
        connection.send(error)
    except Exception as error:
        log.exception("a process that encodes gave up")
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))
    os._exit(1)


def _watched(photos: Sequence[Photo], seconds: float) -> Iterator[Photo]:
    """Yield the photos, and end this process when a photo takes longer than `seconds`.

    Encoding after the last of n photos has n times as long.
    """
    for photo in photos:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield photo
    signal.setitimer(signal.ITIMER_REAL, seconds * len(photos))


def _open_engine(settings: EngineSettings, models: Mapping[str, Path]) -> "Engine | StubEngine":
    # Imported here, because the parent imports this module too.
    if settings.is_stub:
        from meanface.engine.stub import StubEngine

        return StubEngine()
    from meanface.engine.engine import Engine

    return Engine(settings, models)


def _limit_memory(memory: int | None) -> None:
    # Not RLIMIT_AS: it counts mapped files and the memory that a GPU's driver reserves.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if memory:
        limit = memory if most == resource.RLIM_INFINITY else min(memory, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
