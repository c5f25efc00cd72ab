"""The fence around a run: what a seed does not decide is refused, by the name of who wanted it.

Inside `outside.run`, which is the declared way out, entropy comes from the seed and the clock is
the simulation's. `datetime.now()` and what C libraries read by themselves cannot be seen from here.
"""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from holdfast.dispatch.outside import Blocking
from holdfast.errors import NotSimulated
from holdfast.simulation.clock import EPOCH_S
from holdfast.simulation.loop import culprit

T = TypeVar("T")

_LIBRARY = ("/site-packages/", "/lib/python3", "<frozen")
_NO_THREADS = "`outside.run`, and `async def` in a mounted app, which runs `def` in threads"


class Killed(BaseException):
    """Unwinds what a node was doing when it ended itself."""


class Fence:
    """Stands around one run.

    Args:
        chance: what entropy is drawn from where it is allowed.
        now: returns the simulation's time in seconds.

    Attributes:
        refused: what was refused first, since whoever asked may have lived on without it.
    """

    def __init__(self, chance: random.Random, now: Callable[[], float]) -> None:
        self._chance = chance
        self._now = now
        self._open = False
        self.refused: NotSimulated | None = None
        self.on_exit: Callable[[], None] = lambda: None

    async def run(self, work: Blocking) -> object:
        """Run a blocking function here and now: what `outside.run` comes to."""
        with self.opened():
            return work.function()

    @contextmanager
    def opened(self, chance: random.Random | None = None) -> Generator[None]:
        """Let entropy through, drawn from the seed, or from `chance`."""
        before = self._open, self._chance
        self._open, self._chance = True, chance or self._chance
        try:
            yield
        finally:
            self._open, self._chance = before

    @contextmanager
    def up(self) -> Generator[None]:
        """Put the fence up."""
        patched: list[tuple[object, str, object]] = []

        def patch(owner: object, name: str, value: object) -> None:
            patched.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

        patch(os, "urandom", self._urandom)
        patch(random, "_urandom", self._urandom)
        patch(time, "time", self._time)
        patch(time, "monotonic", self._monotonic)
        for name in ("random", "randint", "randrange", "choice", "uniform", "getrandbits"):
            patch(random, name, self._refuse(f"random.{name}", "chance", "`outside.run`"))
        patch(os, "_exit", self._exit)
        patch(time, "sleep", self._refuse("time.sleep", "the real clock", "`asyncio.sleep`"))
        thread = self._refuse("threading.Thread", "a thread", _NO_THREADS)
        patch(threading.Thread, "start", thread)
        patch(socket, "socket", self._refuse("socket.socket", "a socket", "an External"))
        patch(subprocess, "Popen", self._refuse("subprocess.Popen", "a subprocess", "an External"))
        try:
            yield
        finally:
            for owner, name, value in reversed(patched):
                setattr(owner, name, value)

    def _urandom(self, size: int) -> bytes:
        if not self._open:
            raise self._wanted("os.urandom", "entropy", "`tx.new_id` or `outside.run`")
        return self._chance.randbytes(size)

    def _exit(self, status: int) -> None:
        """Kill the node: nothing of it runs after this."""
        self.on_exit()
        raise Killed

    def _time(self) -> float:
        self._check_clock("time.time")
        return EPOCH_S + self._now()

    def _monotonic(self) -> float:
        self._check_clock("time.monotonic")
        return self._now()

    def _check_clock(self, what: str) -> None:
        """Libraries may look at the clock; what they see is virtual."""
        caller = sys._getframe(2).f_code.co_filename  # pyright: ignore[reportPrivateUsage]  # it is fast
        if not self._open and not any(part in caller for part in _LIBRARY):
            raise self._wanted(what, "the real clock", "`tx.now`, `read.now` or `saga.now`")

    def _refuse(self, what: str, is_: str, instead: str) -> Callable[..., object]:
        def refused(*args: object, **kwargs: object) -> object:
            raise self._wanted(what, is_, instead)

        return refused

    def _wanted(self, what: str, is_: str, instead: str) -> NotSimulated:
        error = NotSimulated(f"{culprit()} asks for {is_} ({what}); use {instead}")
        self.refused = self.refused or error
        return error
