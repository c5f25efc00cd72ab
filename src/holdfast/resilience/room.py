"""A room for blocking functions: places, a bounded queue, and no work that would end too late."""

import asyncio
import math

from holdfast.errors import BulkheadFull, PoolFull
from holdfast.resilience.bulkhead import Bulkhead, BulkheadPolicy, BulkheadStats

_WEIGHT = 0.2  # of the newest run in the mean
_RETRY_MAX_S = 60


def ends_late(*, waiting: int, places: int, typical_s: float, left_s: float) -> bool:
    """Say whether work that joins the queue now would probably end after `left_s`.

    `waiting` before it share `places`; each run takes `typical_s`.
    """
    return (waiting + 1) / places * typical_s + typical_s > left_s


class Room:
    """Where the functions of one pool run.

    Work that would not be done by its deadline is refused when it comes, and not when it is late:
    a thread cannot be stopped, so what nobody waits for any more would keep others from theirs.
    Nothing is refused while a place is free, whatever earlier runs took.

    Args:
        places: functions that run at once. queue_max: more that wait.
    """

    __slots__ = ("_bulkhead", "_name", "_places", "_typical_s", "refused")

    def __init__(self, name: str, *, places: int, queue_max: int) -> None:
        policy = BulkheadPolicy(calls_max=places, queue_max=queue_max, wait_s=math.inf)
        self._bulkhead = Bulkhead(policy, name)
        self._name, self._places = name, places
        self._typical_s = 0.0  # a moving mean; 0: none has ended yet
        self.refused = 0

    async def enter(self, *, deadline: float | None, patient: bool) -> None:
        """Take a place, or wait for one until the deadline (loop time).

        Args:
            patient: wait until then however many wait already; see `Bulkhead.enter`.
        Raises:
            PoolFull: the queue is full, or the turn would come, or came, too late.
        """
        left_s = math.inf
        if deadline is not None:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise self._full("its deadline has passed")
        if self._bulkhead.try_enter():
            return
        waiting = self._bulkhead.stats().waiting
        if not patient and ends_late(
            waiting=waiting, places=self._places, typical_s=self._typical_s, left_s=left_s
        ):
            raise self._full(f"{waiting} wait already, and it would not end before its deadline")
        try:
            await self._bulkhead.enter(left_s, patient=patient)
        except BulkheadFull as exc:
            raise self._full(str(exc)) from exc

    def leave(self, took_s: float) -> None:
        """Give the place back, after a run of so many seconds."""
        weight = _WEIGHT if self._typical_s else 1.0
        self._typical_s += weight * (took_s - self._typical_s)
        self._bulkhead.leave()

    def stats(self) -> BulkheadStats:
        """Return how full it is, and how many were refused."""
        stats = self._bulkhead.stats()
        return BulkheadStats(stats.under_way, stats.waiting, stats.entered, self.refused)

    def _full(self, why: str) -> PoolFull:
        self.refused += 1
        wait_s = (self._bulkhead.stats().waiting + 1) / self._places * self._typical_s
        retry_s = min(_RETRY_MAX_S, max(1, math.ceil(wait_s)))
        return PoolFull(
            f"the pool {self._name} is busy: {why}", headers={"Retry-After": str(retry_s)}
        )
