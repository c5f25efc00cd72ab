"""A simulated broker with JetStream's ways: it repeats, reorders, delays, loses, and forgets.

The server outlives every node. Each (service, lane) is a stream with one durable consumer, shared
by the service's nodes: a parcel goes to one of them, and again to one of them when it was not
acknowledged in time.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial

from holdfast.errors import Unreachable
from holdfast.ports import Allowed, BrokerCounts, Deliver, any_number
from holdfast.simulation.node import Node

ACK_WAIT_S = 30.0
NAK_S = 1.0
PARCELS_MAX = 10_000  # of one stream; the oldest are discarded
PAYLOAD_MAX = 1 << 20  # bytes of a parcel, as NATS has it; more is refused
DELIVERIES_MAX = 64  # unacknowledged per subscription
URGENT = "urgent"


def _nothing(kind: str, **fields: object) -> None:
    """Take nothing down."""


@dataclass(eq=False, slots=True)
class _Parcel:
    """One stored parcel. `deliveries` counts how often it was handed out."""

    body: bytes
    sender: str
    stored_s: float
    deliveries: int = 0
    out: bool = False


@dataclass(eq=False, slots=True)
class _Subscription:
    """What one node wants of one lane."""

    client: "BrokerClient"
    deliver: Deliver
    allowed: Allowed
    under_way: int = 0

    @property
    def has_room(self) -> bool:
        return self.under_way < min(DELIVERIES_MAX, self.allowed(self.under_way))


@dataclass(eq=False, slots=True)
class _Stream:
    """The parcels of one service and lane, and who takes them."""

    service: str
    lane: str
    parcels: dict[int, _Parcel] = field(default_factory=dict[int, _Parcel])
    subscriptions: list[_Subscription] = field(default_factory=list[_Subscription])


class SimBroker:
    """The broker's server.

    Attributes:
        down: nothing is published, delivered or acknowledged.
        latency_s: (low, high), each way. reorder_s: up to so much more, for each parcel.
        drop, duplicate, lose_ack: probabilities.
    """

    def __init__(self, chance: random.Random, *, record: Callable[..., None] = _nothing) -> None:
        self.down = False
        self.lose_next = False  # the next parcel, or acknowledgement
        self.latency_s = (0.0005, 0.002)
        self.reorder_s = 0.0
        self.drop = self.duplicate = self.lose_ack = 0.0
        self.chance = chance
        self.record = record
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._numbers = 0

    def client(self, node: Node | None) -> "BrokerClient":
        """Return the connection of one node."""
        return BrokerClient(self, node)

    # -- amnesia --------------------------------------------------------------------------------

    def forget_all(self) -> None:
        """Lose everything that is stored."""
        self._forget(lambda parcel: True)

    def forget(self, share: float) -> None:
        """Lose a share of what is stored, at random."""
        self._forget(lambda parcel: self.chance.random() < share)

    def forget_since(self, seconds: float) -> None:
        """Lose what was stored in the last seconds, as after a power failure."""
        since = asyncio.get_running_loop().time() - seconds
        self._forget(lambda parcel: parcel.stored_s >= since)

    def _forget(self, lost: Callable[[_Parcel], bool]) -> None:
        for stream in self._streams.values():
            gone = [number for number, parcel in stream.parcels.items() if lost(parcel)]
            for number in gone:
                del stream.parcels[number]
            if gone:
                name = f"{stream.service}.{stream.lane}"
                self.record("broker.forgot", stream=name, parcels=len(gone))

    # -- what clients do ------------------------------------------------------------------------

    def stream(self, service: str, lane: str) -> _Stream:
        """Return a stream, made at its first use."""
        found = self._streams.get((service, lane))
        if found is None:
            found = self._streams[service, lane] = _Stream(service, lane)
        return found

    def waiting(self, service: str) -> int:
        """Return how many parcels of a service are stored."""
        return sum(len(s.parcels) for s in self._streams.values() if s.service == service)

    def publish(self, to: str, lane: str, body: bytes, sender: str) -> None:
        """Take a parcel on its way to a stream."""
        copies = 1
        if self._loses(self.drop):
            self.record("broker.dropped", to=to, lane=lane)
            return
        if self.duplicate and self.chance.random() < self.duplicate:
            self.record("broker.duplicated", to=to, lane=lane)
            copies = 2
        loop = asyncio.get_running_loop()
        for _ in range(copies):
            delay_s = self.chance.uniform(*self.latency_s)
            if self.reorder_s:
                delay_s += self.chance.uniform(0, self.reorder_s)
            loop.call_later(delay_s, self._store, self.stream(to, lane), body, sender)

    def _loses(self, probability: float) -> bool:
        lost, self.lose_next = self.lose_next, False
        return lost or (probability > 0 and self.chance.random() < probability)

    def _store(self, stream: _Stream, body: bytes, sender: str) -> None:
        if self.down:
            self.record("broker.dropped", to=stream.service, lane=stream.lane)
            return
        self._numbers += 1
        now_s = asyncio.get_running_loop().time()
        stream.parcels[self._numbers] = _Parcel(body, sender, now_s)
        if len(stream.parcels) > PARCELS_MAX:
            del stream.parcels[next(iter(stream.parcels))]
        self.pump(stream)

    def pump(self, stream: _Stream) -> None:
        """Hand out what waits, as far as anybody has room for it."""
        if self.down:
            asyncio.get_running_loop().call_later(NAK_S, self.pump, stream)
            return
        for number, parcel in list(stream.parcels.items()):
            if parcel.out:
                continue
            ready = [s for s in stream.subscriptions if s.has_room]
            if not ready:
                return
            taker = ready[int(self.chance.random() * len(ready))] if len(ready) > 1 else ready[0]
            self._hand_out(stream, number, parcel, taker)

    def _hand_out(
        self, stream: _Stream, number: int, parcel: _Parcel, taker: _Subscription
    ) -> None:
        again = parcel.deliveries > 0
        parcel.out, parcel.deliveries = True, parcel.deliveries + 1
        taker.under_way += 1
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(ACK_WAIT_S, self._back, stream, number, parcel)
        where = taker.client.name
        self.record(
            "broker.deliver",
            to=where,
            lane=stream.lane,
            again=again,
            size=len(parcel.body),
        )
        delay_s = self.chance.uniform(*self.latency_s)

        def ended(acknowledged: bool) -> None:
            taker.under_way -= 1
            if self.down or self._loses(self.lose_ack):
                self.record("broker.ack lost", to=where, lane=stream.lane)
            elif acknowledged:
                expiry.cancel()
                if stream.parcels.get(number) is parcel:
                    del stream.parcels[number]
            else:
                expiry.cancel()
                loop.call_later(NAK_S, self._back, stream, number, parcel)
            self.pump(stream)

        deliver = partial(taker.deliver, parcel.body, again, parcel.sender)
        taker.client.begin(delay_s, deliver, ended)

    def _back(self, stream: _Stream, number: int, parcel: _Parcel) -> None:
        """Hand a parcel out again that nobody acknowledged."""
        if stream.parcels.get(number) is parcel and parcel.out:
            parcel.out = False
            self.pump(stream)

    def subscribe(
        self, client: "BrokerClient", service: str, lane: str, deliver: Deliver, allowed: Allowed
    ) -> None:
        """Add a taker to a stream."""
        stream = self.stream(service, lane)
        stream.subscriptions.append(_Subscription(client, deliver, allowed))
        self.pump(stream)

    def left(self, node: Node | None) -> None:
        """Forget a node's subscriptions; what it has not acknowledged waits for its time."""
        for stream in self._streams.values():
            stream.subscriptions = [s for s in stream.subscriptions if s.client.node is not node]

    def crashed(self, node: Node) -> None:
        """Forget a dead node's subscriptions."""
        self.left(node)


class BrokerClient:
    """Implements `ports.Broker` for one node."""

    def __init__(self, server: SimBroker, node: Node | None) -> None:
        self.node = node
        self.name = node.name if node else ""
        self._server = server
        self._stopped = False
        self._running: dict[asyncio.Task[None], None] = {}

    async def publish(self, to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        """See `ports.Broker.publish`."""
        if self.node is not None:
            await self.node.step("publish.before")
        trouble = self.trouble()
        if trouble or len(parcel) > PAYLOAD_MAX:
            raise Unreachable(trouble or "the parcel is too large", edge=to)
        self._server.publish(to, lane, parcel, sender)
        if self.node is not None:
            await self.node.step("publish.after")

    async def subscribe(
        self, service: str, lane: str, deliver: Deliver, allowed: Allowed = any_number
    ) -> None:
        """See `ports.Broker.subscribe`."""
        self._server.subscribe(self, service, lane, deliver, allowed)

    def begin(
        self,
        delay_s: float,
        deliver: Callable[[], Coroutine[object, None, None]],
        ended: Callable[[bool], None],
    ) -> None:
        """Have a parcel delivered inside the node, after its way there."""
        if self.node is not None:
            self.node.call_later(delay_s, self._begin, deliver, ended)
        else:
            asyncio.get_running_loop().call_later(delay_s, self._begin, deliver, ended)

    def _begin(
        self,
        deliver: Callable[[], Coroutine[object, None, None]],
        ended: Callable[[bool], None],
    ) -> None:
        if self._stopped:
            return
        task = asyncio.get_running_loop().create_task(self._deliver(deliver, ended))
        self._running[task] = None
        task.add_done_callback(lambda done: self._running.pop(done, None))

    async def _deliver(
        self,
        deliver: Callable[[], Coroutine[object, None, None]],
        ended: Callable[[bool], None],
    ) -> None:
        try:
            await deliver()
        except Exception:  # whatever it was: not acknowledged, and delivered again
            ended(False)
            return
        if self.node is not None:
            await self.node.step("ack.before")
        ended(True)
        if self.node is not None:
            await self.node.step("ack.after")

    def trouble(self) -> str | None:
        """See `ports.Broker.trouble`."""
        return "the broker is away" if self._stopped or self._server.down else None

    def counts(self) -> BrokerCounts:
        """See `ports.Broker.counts`."""
        return BrokerCounts()

    async def stop(self) -> None:
        """See `ports.Broker.stop`."""
        self._stopped = True
        self._server.left(self.node)
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
