"""Many deadlines with one timer.

A timer that is set and cancelled for each call costs more than all the policies of an edge, or than
to write a request. Nearly all calls end in time, so one timer stands for the earliest end; when it
rings, it ends what is over and is set for the next one.
"""

import asyncio
from math import inf
from typing import Protocol


class Expires(Protocol):
    """What may take too long."""

    def expire(self) -> None:
        """End, because the time is over."""
        ...


class Deadlines:
    """Ends what takes too long."""

    __slots__ = ("_ends", "_loop", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends: dict[Expires, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf  # at the latest when the first one ends

    def add(self, one: Expires, at: float) -> None:
        """End something at a loop time, in seconds, unless it is removed before."""
        self._ends[one] = at
        if at < self._timer_at:
            self._set(at)

    def remove(self, one: Expires) -> None:
        """Forget what has ended in time."""
        self._ends.pop(one, None)

    def close(self) -> None:
        """End nothing any more."""
        self._ends.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        now = max(self._timer_at, self._loop.time())  # a loop may ring a tick early
        self._timer, self._timer_at = None, inf
        over = [one for one, at in self._ends.items() if at <= now]
        for one in over:
            del self._ends[one]
            one.expire()
        nearest = min(self._ends.values(), default=inf)
        if nearest < inf:
            self._set(nearest)
