"""What every broker must do, seen through `ports.Broker` alone.

It may lose, repeat, delay and reorder; so little is promised that a fake can keep it, and much is
asked of `stop` and of what happens when a delivery fails.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from holdfast.errors import Unreachable
from holdfast.ports import Broker

PATIENCE_S = 60.0


class Inbox:
    """Collects parcels; a parcel of `b"bad"` is not acknowledged the first time."""

    def __init__(self) -> None:
        self.parcels: list[bytes] = []
        self.senders: list[str] = []
        self.failed = 0
        self.arrived = asyncio.Event()

    async def deliver(self, parcel: bytes, again: bool, sender: str) -> None:
        """Take one parcel."""
        if parcel == b"bad" and not self.failed:
            self.failed += 1
            self.arrived.set()
            raise LookupError("not acknowledged")
        self.parcels.append(parcel)
        self.senders.append(sender)
        self.arrived.set()

    async def wait_for(self, count: int, *, failed: int = 0) -> list[bytes]:
        """Wait, not for ever, until so many came, and so many failed."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.parcels) < count or self.failed < failed:
                self.arrived.clear()
                await self.arrived.wait()
        return self.parcels


class BrokerContract:
    """Inherit and implement `make`; every broker must pass unchanged."""

    async def make(self) -> Broker:
        """Return a broker that is ready."""
        raise NotImplementedError

    @asynccontextmanager
    async def made(self) -> AsyncIterator[Broker]:
        """Make a broker, and stop it."""
        broker = await self.make()
        try:
            yield broker
        finally:
            await broker.stop()

    async def test_a_parcel_comes_as_it_went(self) -> None:
        """Any bytes, to the one that it is addressed to."""
        async with self.made() as broker:
            mine, other = Inbox(), Inbox()
            await broker.subscribe("mine", "work", mine.deliver)
            await broker.subscribe("other", "work", other.deliver)
            parcels = [bytes(range(256)), b"\0", b"x" * (1 << 18)]
            for parcel in parcels:
                await broker.publish("mine", "work", parcel, sender="ada")

            assert sorted(await mine.wait_for(3)) == sorted(parcels)
            assert other.parcels == []

    async def test_both_lanes_are_delivered(self) -> None:
        """Each to its own subscriber."""
        async with self.made() as broker:
            work, urgent = Inbox(), Inbox()
            await broker.subscribe("mine", "work", work.deliver)
            await broker.subscribe("mine", "urgent", urgent.deliver)
            await broker.publish("mine", "work", b"a command", sender="ada")
            await broker.publish("mine", "urgent", b"an answer", sender="ada")

            assert await work.wait_for(1) == [b"a command"]
            assert await urgent.wait_for(1) == [b"an answer"]

    async def test_many_parcels_all_come(self) -> None:
        """Nothing is lost on a good day."""
        async with self.made() as broker:
            inbox = Inbox()
            await broker.subscribe("mine", "work", inbox.deliver)
            parcels = [str(n).encode() for n in range(500)]
            for parcel in parcels:
                await broker.publish("mine", "work", parcel, sender="ada")

            assert set(await inbox.wait_for(500)) == set(parcels)

    async def test_a_delivery_that_fails_stops_nothing(self) -> None:
        """The subscriber raised: the parcels behind it are delivered all the same."""
        async with self.made() as broker:
            inbox = Inbox()
            await broker.subscribe("mine", "work", inbox.deliver)
            await broker.publish("mine", "work", b"bad", sender="ada")
            await broker.publish("mine", "work", b"good", sender="ada")

            assert b"good" in await inbox.wait_for(1, failed=1)

    async def test_a_slow_delivery_does_not_hold_up_the_others(self) -> None:
        """Several parcels are under way at once."""
        async with self.made() as broker:
            inbox, gate = Inbox(), asyncio.Event()

            async def deliver(parcel: bytes, again: bool, sender: str) -> None:
                if parcel == b"slow":
                    await gate.wait()
                await inbox.deliver(parcel, again, sender)

            await broker.subscribe("mine", "work", deliver)
            await broker.publish("mine", "work", b"slow", sender="ada")
            await broker.publish("mine", "work", b"fast", sender="ada")
            first = list(await inbox.wait_for(1))
            gate.set()

            assert first == [b"fast"]
            assert await inbox.wait_for(2) == [b"fast", b"slow"]

    async def test_stop_waits_for_what_is_under_way(self) -> None:
        """And delivers nothing after it."""
        broker = await self.make()
        inbox, begun, gate = Inbox(), asyncio.Event(), asyncio.Event()

        async def deliver(parcel: bytes, again: bool, sender: str) -> None:
            begun.set()
            await gate.wait()
            await inbox.deliver(parcel, again, sender)

        await broker.subscribe("mine", "work", deliver)
        await broker.publish("mine", "work", b"slow", sender="ada")
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
        stopping = asyncio.create_task(broker.stop())
        await asyncio.sleep(0)
        gate.set()
        await stopping

        assert inbox.parcels == [b"slow"]
        with pytest.raises(Unreachable):
            await broker.publish("mine", "work", b"too late", sender="ada")
