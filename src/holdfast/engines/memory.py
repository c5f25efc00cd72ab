"""The broker of one process: parcels in memory, answers at once.

The services' tables are the real queue: whatever is lost here, by a crash or by a full lane, is
sent again by its sender's relay.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from holdfast.errors import Unreachable
from holdfast.ports import Allowed, BrokerCounts, Deliver, any_number

URGENT = "urgent"
URGENT_SHARE = 4  # urgent parcels before one of the other lane gets its turn


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Counts since the start; `waiting` and `delivering` are now."""

    waiting: int
    delivering: int
    delivered: int
    dropped: int


_Parcel = tuple[bytes, str]  # and who published it


@dataclass(slots=True)
class _Box:
    """What waits for one service; so many parcels are `waiting`, and so many `under_way`."""

    lanes: dict[str, deque[_Parcel]] = field(default_factory=dict[str, deque[_Parcel]])
    deliver: dict[str, Deliver] = field(default_factory=dict[str, Deliver])
    allowed: dict[str, Allowed] = field(default_factory=dict[str, Allowed])
    running: dict[str, set[asyncio.Task[None]]] = field(
        default_factory=dict[str, set[asyncio.Task[None]]]
    )
    since_urgent: int = 0
    waiting: int = 0
    under_way: int = 0


class MemoryBroker:
    """Implements `ports.Broker` inside one process.

    Args:
        parcels_max: waiting per service and lane; more are dropped, and sent again later.
        deliveries_max: parcels under way at once per service. New work takes at most three
            quarters of it: handlers that work for long hold up no answer and no undo.
    """

    def __init__(self, *, parcels_max: int = 10_000, deliveries_max: int = 64) -> None:
        self._parcels_max = parcels_max
        self._deliveries_max = deliveries_max
        self._work_max = max(1, deliveries_max * 3 // 4)
        self._boxes: dict[str, _Box] = {}
        self._stopped = False
        self._delivered = self._dropped = 0

    async def publish(self, to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        """See `ports.Broker.publish`."""
        box = self._boxes.get(to)
        if self._stopped or box is None or lane not in box.deliver:
            raise Unreachable(f"{to} is not running in this process", edge=to)
        queue = box.lanes[lane]
        if len(queue) >= self._parcels_max:
            self._dropped += 1
            return
        queue.append((parcel, sender))
        box.waiting += 1
        self._pump(box)

    async def subscribe(
        self, service: str, lane: str, deliver: Deliver, allowed: Allowed = any_number
    ) -> None:
        """See `ports.Broker.subscribe`."""
        box = self._boxes.setdefault(service, _Box())
        box.lanes.setdefault(lane, deque())
        box.deliver[lane], box.allowed[lane] = deliver, allowed
        box.running.setdefault(lane, set())

    def takes(self, to: str, lane: str) -> bool:
        """Whether a parcel would be delivered: somebody here wants it, and there is room."""
        box = self._boxes.get(to)
        if self._stopped or box is None or lane not in box.deliver:
            return False
        return len(box.lanes[lane]) < self._parcels_max

    def _pump(self, box: _Box) -> None:
        while box.waiting and not self._stopped and box.under_way < self._deliveries_max:
            lane = self._next_lane(box)
            if lane is None:
                return
            parcel, sender = box.lanes[lane].popleft()
            task = asyncio.create_task(box.deliver[lane](parcel, False, sender))
            box.running[lane].add(task)
            box.waiting -= 1
            box.under_way += 1
            task.add_done_callback(partial(self._ended, box, lane))

    def _next_lane(self, box: _Box) -> str | None:
        """Urgent first; after four urgent parcels the other lane gets one turn."""
        urgent = box.lanes.get(URGENT)
        for lane, waiting in box.lanes.items():
            under_way = len(box.running[lane])
            if lane == URGENT or not waiting or under_way >= self._work_max:
                continue
            if under_way >= box.allowed[lane](under_way):
                continue
            if not urgent or box.since_urgent >= URGENT_SHARE:
                box.since_urgent = 0
                return lane
        if not urgent:
            return None
        box.since_urgent += 1
        return URGENT

    def _ended(self, box: _Box, lane: str, task: "asyncio.Task[None]") -> None:
        box.running[lane].discard(task)
        box.under_way -= 1
        self._delivered += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            # Not acknowledged, in the words of a real broker: the sender sends it again.
            logging.getLogger("holdfast").error("delivery failed", exc_info=error)
        if box.waiting:
            self._pump(box)

    def trouble(self) -> str | None:
        """See `ports.Broker.trouble`."""
        return None

    def counts(self) -> BrokerCounts:
        """See `ports.Broker.counts`: nothing can go wrong."""
        return BrokerCounts()

    async def stop(self) -> None:
        """Drop what waits (its rows are in the tables) and wait for what is under way."""
        self._stopped = True
        boxes = self._boxes.values()
        while running := [task for box in boxes for lane in box.running.values() for task in lane]:
            await asyncio.gather(*running, return_exceptions=True)

    def stats(self) -> MemoryStats:
        """Return the counts."""
        boxes = self._boxes.values()
        waiting = sum(box.waiting for box in boxes)
        delivering = sum(box.under_way for box in boxes)
        return MemoryStats(waiting, delivering, self._delivered, self._dropped)
