"""Lets photos kill the process that encodes them.

Python imports this module at its start where this folder is on the path. The variable
MEANFACE_TEST_FAULTS (JSON) gives photos a fault by path.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator

FAULTS = json.loads(os.environ.get("MEANFACE_TEST_FAULTS", "{}"))
LEAKED: list[bytes] = []


def suffer(fault: str | None) -> None:
    """Die of the fault, or be slow by it."""
    hoard = []
    match fault:
        case "segfault":
            ctypes.string_at(0)
        case "oom":
            while True:
                hoard.append(bytes(1 << 24))
        case "leak":
            LEAKED.append(bytes(1 << 29))
        case "hang":
            signal.pause()  # the limit is on real time: a busy loop would end no sooner
        case "slow":
            time.sleep(5)
        case "kill":  # what the system does where memory runs out
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)


if FAULTS and "meanface.engine.child" in sys.orig_argv:
    from meanface.engine.engine import Engine
    from meanface.engine.outcome import Outcome
    from meanface.engine.stub import StubEngine
    from meanface.shards.manifest import Photo

    def faulty(photos: Iterable[Photo]) -> Iterator[Photo]:
        for photo in photos:
            suffer(FAULTS.get(photo.path))
            yield photo

    class FaultyEngine(Engine):
        """Meets the fault when it takes the photo."""

        def encode(self, photos: Iterable[Photo]) -> list[Outcome]:
            return super().encode(faulty(photos))

    class FaultyStub(StubEngine):
        """The same for the stub."""

        def encode(self, photos: Iterable[Photo]) -> list[Outcome]:
            return super().encode(faulty(photos))

    sys.modules[Engine.__module__].Engine = FaultyEngine  # type: ignore[attr-defined]
    sys.modules[StubEngine.__module__].StubEngine = FaultyStub  # type: ignore[attr-defined]
