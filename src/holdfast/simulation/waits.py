"""Long waits in a simulation: what waits for people waits for days, and they pass at once.

Idle nodes still poll and keep house, which costs more than what they wait for. While nothing else
is under way, the loop leaps ahead instead: to nodes it is as if their machines had slept.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping

from holdfast.contract.envelope import Kind
from holdfast.simulation.clock import EPOCH_S
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.store import SimStore

AHEAD_S = 600.0  # what is due sooner is waited for; no back-off of the protocol is as long
BEFORE_S = 60.0  # so long before that, a leap ends
STRIDE_S = 43_200.0  # the longest leap
PAUSE_S = 20.0  # between two leaps, so that jobs and housekeeping keep their pace


class Waits:
    """Knows what is waited for, and lets time pass.

    Args:
        is_busy: whether something is under way that no database knows of, such as a request.

    Attributes:
        not_before: loop time in seconds of the first leap; until then, faults need the time.
        leapt_s: how long all leaps were together.
    """

    def __init__(
        self, loop: SimLoop, stores: Mapping[str, SimStore], is_busy: Callable[[], bool]
    ) -> None:
        self._loop = loop
        self._stores = stores
        self._is_busy = is_busy
        self._appointments: list[float] = []
        self._rested_at = 0.0
        self.not_before = 0.0
        self.leapt_s = 0.0

    async def pass_time(self, seconds: float) -> None:
        """Let so much time pass; leap over what is long of it."""
        until = self._loop.time() + seconds
        if seconds < AHEAD_S:
            await asyncio.sleep(seconds)
            return
        self._appointments.append(until)
        try:
            while (left_s := until - self._loop.time()) > 0:
                self.leap()
                await asyncio.sleep(max(0.0, min(PAUSE_S, left_s, until - self._loop.time())))
        finally:
            self._appointments.remove(until)

    def leap(self) -> bool:
        """Leap towards what is due next, if that is far away; say whether it did."""
        now_s = self._loop.time()
        if now_s < max(self.not_before, self._rested_at) or self._is_busy():
            return False
        next_s = min((*self._appointments, *self._due()), default=now_s)
        if next_s - now_s < AHEAD_S:
            return False
        leap_s = min(next_s - now_s - BEFORE_S, STRIDE_S)
        self._loop.leap(leap_s)
        self.leapt_s += leap_s
        self._rested_at = now_s + leap_s + PAUSE_S
        return True

    def _due(self) -> Iterator[float]:
        """Yield when open rows are due, in the loop's time; ticks always are."""
        for store in self._stores.values():
            ahead_s = EPOCH_S + store.clock.skew_s
            for row in store.open_rows():
                if row.kind is not Kind.TICK and row.due_at is not None:
                    yield row.due_at / 1000 - ahead_s
