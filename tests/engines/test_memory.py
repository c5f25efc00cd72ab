"""The broker in memory keeps the contract; and what is its own."""

import asyncio
import logging

import pytest

from holdfast.engines.memory import MemoryBroker
from holdfast.errors import Unreachable
from holdfast.ports import Broker
from tests.contracts.broker import BrokerContract


class TestMemory(BrokerContract):
    """The contract, inside one process."""

    @pytest.fixture(autouse=True)
    def quiet(self, caplog: pytest.LogCaptureFixture) -> None:
        """A delivery that fails is logged, as it should be."""
        caplog.set_level(logging.CRITICAL, "holdfast")

    async def make(self) -> Broker:
        """Return a fresh broker."""
        return MemoryBroker()


async def test_a_service_that_does_not_run_is_unreachable() -> None:
    """Its letters stay in their tables; a lane without a subscriber is no different."""
    broker = MemoryBroker()
    with pytest.raises(Unreachable, match="other is not running"):
        await broker.publish("other", "work", b"x", sender="ada")

    async def deliver(parcel: bytes, again: bool, sender: str) -> None:
        return None

    await broker.subscribe("other", "urgent", deliver)
    with pytest.raises(Unreachable, match="other is not running"):
        await broker.publish("other", "work", b"x", sender="ada")
    await broker.stop()


async def test_urgent_parcels_go_first_and_the_others_keep_a_share() -> None:
    """After four urgent ones the other lane gets one turn."""
    broker = MemoryBroker(deliveries_max=1)
    order: list[str] = []
    done = asyncio.Event()

    def deliver_to(lane: str):  # type: ignore[no-untyped-def]  # returns the subscriber
        async def deliver(parcel: bytes, again: bool, sender: str) -> None:
            order.append(lane[0])
            if len(order) == 14:
                done.set()

        return deliver

    for lane in ("work", "urgent"):
        await broker.subscribe("me", lane, deliver_to(lane))
    for lane, count in (("work", 4), ("urgent", 10)):
        for _ in range(count):
            await broker.publish("me", lane, b"x", sender="ada")
    async with asyncio.timeout(60):
        await done.wait()
    await broker.stop()

    assert "".join(order) == "wuuuuwuuuuwuuw"


async def test_long_work_holds_up_no_answer() -> None:
    """Handlers may work for an hour; answers and undos have places of their own meanwhile."""
    broker = MemoryBroker(deliveries_max=4)
    gate, answered = asyncio.Event(), asyncio.Event()
    begun: list[bytes] = []

    async def work(parcel: bytes, again: bool, sender: str) -> None:
        begun.append(parcel)
        await gate.wait()

    async def answer(parcel: bytes, again: bool, sender: str) -> None:
        answered.set()

    await broker.subscribe("me", "work", work)
    await broker.subscribe("me", "urgent", answer)
    for _ in range(9):
        await broker.publish("me", "work", b"x", sender="ada")
    await broker.publish("me", "urgent", b"x", sender="ada")
    async with asyncio.timeout(60):
        await answered.wait()
    under_way = len(begun)
    gate.set()
    await broker.stop()

    assert under_way == 3


async def test_a_full_lane_drops_and_counts() -> None:
    """What waits is bounded: the dropped letters are in their sender's table."""
    broker = MemoryBroker(parcels_max=2, deliveries_max=1)
    gate = asyncio.Event()
    got: list[bytes] = []

    async def deliver(parcel: bytes, again: bool, sender: str) -> None:
        await gate.wait()
        got.append(parcel)

    await broker.subscribe("me", "work", deliver)
    for n in range(5):
        await broker.publish("me", "work", str(n).encode(), sender="ada")
    stats = broker.stats()
    gate.set()
    await broker.stop()

    assert (stats.waiting, stats.delivering, stats.dropped) == (2, 1, 2)
    assert got == [b"0"]
