"""A process that encodes, as its parent sees it: how to start it, talk to it, and learn its end."""

import logging
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe

from meanface.engine.child import NO_MEMORY, SECONDS_TO_OPEN
from meanface.process import child_environment


@dataclass(frozen=True)
class Death:
    """Why a process died, in the words of a Failure."""

    reason: str
    detail: str


class Worker:
    """A process that opens an engine first, and then gets photos."""

    def __init__(
        self,
        module: str,
        *setup: object,
        seconds: float,
        most_memory: str,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Run `module`, which gets `setup`, and answers None when its engine is open.

        `variables` of the environment are the process's own.

        `seconds`: the time limit of a photo. `most_memory`: the memory limit in words. Both are
        limits that the process sets for itself; they are named where the process dies of them.
        """
        self._seconds = seconds
        self._most_memory = most_memory
        self.is_open = False  # the engine
        self._waiting: list[object] = []
        self.connection, theirs = Pipe()
        # Not a fork: what the parent imported or opened does no harm, and macOS works the same way.
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=child_environment() | dict(variables or {}),
            )
        self._send(setup)

    def send(self, *messages: object) -> None:
        """Send messages as soon as the engine is open: the process reads nothing before."""
        self._waiting += messages
        if self.is_open:
            self._send_waiting()

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._send(message)

    def _send(self, message: object) -> None:
        with suppress(ConnectionError):  # the process is dead, which `receive` will notice
            self.connection.send(message)

    def receive(self) -> object:
        """Give an answer, a Death, or None: more will come. Raises what the process sends."""
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
            self._send_waiting()
        return message

    def end(self) -> int:
        """Kill the process if it is alive. Give its exit status as subprocess does."""
        self.connection.close()
        self._process.kill()  # does not change the status of a process that is about to exit
        return self._process.wait()

    def _death(self) -> Death:
        status = self.end()
        if status == -signal.SIGALRM:
            limit = self._seconds if self.is_open else SECONDS_TO_OPEN
            return Death("timeout", f"longer than {limit:g} s")
        if status == NO_MEMORY:
            return Death("out_of_memory", f"more than {self._most_memory}")
        if status == -signal.SIGKILL:
            return Death("out_of_memory", "signal SIGKILL, as sent where memory runs out")
        if status < 0:
            names = [one.name for one in signal.Signals if one == -status]
            return Death("crashed", f"signal {names[0] if names else -status}")
        return Death("crashed", f"exit status {status}")
