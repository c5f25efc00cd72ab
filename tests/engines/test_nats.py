"""JetStream keeps the broker's contract; and what is its own."""

import asyncio
import itertools
import logging
from collections.abc import Callable

import pytest

from holdfast.engines.nats import NatsBroker
from holdfast.errors import Unreachable
from holdfast.ports import Broker
from tests.contracts.broker import BrokerContract, Inbox
from tests.servers import Nats, nats_server

NUMBERS = itertools.count(1)


class TestNats(BrokerContract):
    """The contract, on a server."""

    @pytest.fixture(autouse=True)
    def server(self, nats: Nats, caplog: pytest.LogCaptureFixture) -> None:
        """Keep the server; a delivery that fails is logged, as it should be."""
        caplog.set_level(logging.CRITICAL, "holdfast")
        self.url = nats.url

    async def make(self) -> Broker:
        """Return the broker of a system of its own."""
        return NatsBroker(f"test{next(NUMBERS)}", self.url)


async def publish_until(broker: NatsBroker, done: Callable[[], bool]) -> None:
    """Publish again and again, as the outbox does, until something is so."""
    async with asyncio.timeout(30):
        while not done():
            try:
                await broker.publish("mine", "work", b"x")
            except Unreachable:
                pass  # its row stays, and is sent again
            await asyncio.sleep(0.1)


async def until_unreachable(broker: NatsBroker) -> None:
    """Publish until it is refused: the client has noticed that the server is gone."""
    async with asyncio.timeout(10):
        while True:
            try:
                await broker.publish("mine", "work", b"x")
            except Unreachable:
                return
            await asyncio.sleep(0.05)


async def test_a_server_that_forgot_everything_is_set_up_again() -> None:
    """Its streams and consumers are gone, and nobody restarts the subscriber."""
    with nats_server() as server:
        broker, inbox = NatsBroker("forgetful", server.url), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        server.stop()
        await until_unreachable(broker)
        server.forget()
        await asyncio.to_thread(server.start)
        before = len(inbox.parcels)
        await publish_until(broker, lambda: len(inbox.parcels) > before)
        await broker.stop()


async def test_a_server_that_comes_later_is_waited_for() -> None:
    """A process starts without its broker, and its letters wait in the tables."""
    with nats_server() as server:
        server.stop()
        broker, inbox = NatsBroker("late", server.url), Inbox()
        await broker.subscribe("mine", "work", inbox.deliver)
        with pytest.raises(Unreachable):
            await broker.publish("mine", "work", b"x")
        away = broker.trouble()
        await asyncio.to_thread(server.start)
        await publish_until(broker, lambda: len(inbox.parcels) > 0)
        there = broker.trouble()
        await broker.stop()

    assert (away, there) == ("the broker is away", None)


async def test_replicas_share_what_comes(nats: Nats) -> None:
    """Each parcel goes to one of them."""
    replicas = [NatsBroker("shared", nats.url) for _ in range(2)]
    inboxes = [Inbox(), Inbox()]
    for broker, inbox in zip(replicas, inboxes, strict=True):
        await broker.subscribe("mine", "work", inbox.deliver)
    parcels = [str(n).encode() for n in range(400)]
    for parcel in parcels:
        await replicas[0].publish("mine", "work", parcel)
    async with asyncio.timeout(10):
        while sum(len(inbox.parcels) for inbox in inboxes) < len(parcels):
            await asyncio.sleep(0.01)
    for broker in replicas:
        await broker.stop()

    assert sorted(inboxes[0].parcels + inboxes[1].parcels) == sorted(parcels)
    assert min(len(inbox.parcels) for inbox in inboxes) > 0
