"""The bulkhead: one slow edge may fill its own compartment, and no other."""

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType

from holdfast.errors import BulkheadFull


@dataclass(frozen=True, slots=True)
class BulkheadPolicy:
    """How many calls of one edge are under way at once.

    Attributes:
        calls_max: under way at once.
        queue_max: how many more may wait for a place, first come, first served; 0: none.
        wait_s: the longest wait in the queue; after it the call fails, having sent nothing.
    """

    calls_max: int = 100
    queue_max: int = 100
    wait_s: float = 1.0

    def __post_init__(self) -> None:
        if not (self.calls_max >= 1 and self.queue_max >= 0 and self.wait_s >= 0):
            raise ValueError(f"{self}: calls_max must be >= 1, queue_max and wait_s >= 0")


@dataclass(frozen=True, slots=True)
class BulkheadStats:
    """How full it is now, and since the start how many entered and how many were turned away."""

    under_way: int
    waiting: int
    entered: int
    refused: int


class Bulkhead:
    """A room with `calls_max` places and a queue of bounded length before its door.

    `async with bulkhead:` is the whole of it. A place that becomes free goes to the first in the
    queue and to nobody else, so a newcomer never overtakes one who waits.
    """

    __slots__ = ("_entered", "_name", "_policy", "_queue", "_refused", "_under_way")

    def __init__(self, policy: BulkheadPolicy, name: str = "") -> None:
        self._policy = policy
        self._name = name
        self._under_way = 0  # 0..calls_max; below calls_max nobody waits
        # True: the place is yours; False: you waited too long.
        self._queue: OrderedDict[asyncio.Future[bool], None] = OrderedDict()
        self._entered = self._refused = 0

    def try_enter(self) -> bool:
        """Take a place if one is free, without waiting."""
        if self._under_way >= self._policy.calls_max:
            return False
        self._under_way += 1
        self._entered += 1
        return True

    async def enter(self, limit_s: float = math.inf, *, patient: bool = False) -> None:
        """Take a place, waiting for at most `limit_s` and at most `wait_s`.

        Args:
            patient: wait for `limit_s`, however many wait already. For work that nobody would
                do instead if it were turned away, and whose number is bounded elsewhere.
        Raises:
            BulkheadFull: the queue is full, or no place became free in time.
        """
        if self.try_enter():
            return
        wait_s = limit_s if patient else min(limit_s, self._policy.wait_s)
        if wait_s <= 0 or (not patient and len(self._queue) >= self._policy.queue_max):
            raise self._full(f"{len(self._queue)} wait already")
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._queue[turn] = None
        timer = loop.call_later(wait_s, self._expire, turn)
        try:
            is_in = await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.done() and turn.result():
                self.leave()  # the place came together with the cancellation: hand it on
            raise
        finally:
            timer.cancel()
            self._queue.pop(turn, None)
        if not is_in:
            raise self._full(f"no place in {wait_s:g} s")

    def leave(self) -> None:
        """Give the place back; exactly once for each one taken."""
        while self._queue:
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():
                turn.set_result(True)
                self._entered += 1
                return
        self._under_way -= 1

    def stats(self) -> BulkheadStats:
        """Return how full it is."""
        return BulkheadStats(self._under_way, len(self._queue), self._entered, self._refused)

    async def __aenter__(self) -> None:
        await self.enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def _expire(self, turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            turn.set_result(False)

    def _full(self, why: str) -> BulkheadFull:
        self._refused += 1
        return BulkheadFull(
            f"{self._name}: {self._policy.calls_max} calls are under way, {why}; nothing was sent",
            edge=self._name,
        )
