"""A broker for what is in this process, before one that reaches all others."""

import pytest

from holdfast.engines.memory import MemoryBroker
from holdfast.engines.near import WAITING_MAX, NearBroker
from holdfast.errors import Unreachable
from holdfast.ports import Broker
from tests.contracts.broker import BrokerContract, Inbox


class Wire(MemoryBroker):
    """Between processes; takes down what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.carried: list[bytes] = []

    async def publish(self, to: str, lane: str, parcel: bytes, *, sender: str) -> None:
        self.carried.append(parcel)
        await super().publish(to, lane, parcel, sender=sender)


class TestNearBroker(BrokerContract):
    """It is a broker as any other."""

    async def make(self) -> Broker:
        return NearBroker(Wire())


async def test_what_is_for_this_process_does_not_leave_it() -> None:
    """It comes once, from the one who sent it, and the wire has not seen it."""
    wire, inbox = Wire(), Inbox()
    broker = NearBroker(wire)
    await broker.subscribe("here", "work", inbox.deliver)

    await broker.publish("here", "work", b"a letter", sender="ada")
    await inbox.wait_for(1)
    await broker.stop()

    assert (inbox.parcels, inbox.senders, wire.carried) == ([b"a letter"], ["ada"], [])


async def test_what_is_for_others_is_carried() -> None:
    """Nobody here hears that service, or that lane of it."""
    wire, inbox, there = Wire(), Inbox(), Inbox()
    broker = NearBroker(wire)
    await broker.subscribe("here", "work", inbox.deliver)
    await wire.subscribe("there", "work", there.deliver)
    await wire.subscribe("here", "urgent", there.deliver)

    await broker.publish("there", "work", b"a letter", sender="ada")
    await broker.publish("here", "urgent", b"an answer", sender="ada")
    await there.wait_for(2)
    await broker.stop()

    assert (inbox.parcels, wire.carried) == ([], [b"a letter", b"an answer"])


async def test_what_others_send_is_delivered_here() -> None:
    """One subscription hears both ways."""
    wire, inbox = Wire(), Inbox()
    broker = NearBroker(wire)
    await broker.subscribe("here", "work", inbox.deliver)

    await wire.publish("here", "work", b"from elsewhere", sender="ada")

    assert await inbox.wait_for(1) == [b"from elsewhere"]
    await broker.stop()


async def test_what_finds_no_room_goes_where_replicas_share_it() -> None:
    """A process that is behind does not drop letters that another one could take."""
    wire = Wire()
    broker, beside = NearBroker(wire), Inbox()

    async def busy(parcel: bytes, again: bool, sender: str) -> None:
        raise AssertionError("its box is never looked at: the loop has no turn before")

    await broker.subscribe("here", "work", busy)
    await wire.subscribe("here", "work", beside.deliver)
    for number in range(64 + WAITING_MAX):  # under way, which cannot begin yet, and waiting
        await broker.publish("here", "work", str(number).encode(), sender="ada")
    before = list(wire.carried)

    await broker.publish("here", "work", b"one more", sender="ada")

    assert before == wire.carried[:-1]
    assert await beside.wait_for(len(wire.carried)) == wire.carried
    assert wire.carried[-1] == b"one more"


async def test_a_time_out_does_not_overtake_the_answers_of_others() -> None:
    """What a service tells itself goes by the wire, behind what waits there."""
    wire, inbox = Wire(), Inbox()
    broker = NearBroker(wire)
    await broker.subscribe("here", "urgent", inbox.deliver)
    await wire.publish("here", "urgent", b"the answer", sender="there")

    await broker.publish("here", "urgent", b"expired", sender="here")

    assert await inbox.wait_for(2) == [b"the answer", b"expired"]
    await broker.stop()


async def test_a_wire_that_is_away_is_told() -> None:
    """And holds up nothing that does not need it."""
    wire, inbox = Wire(), Inbox()
    broker = NearBroker(wire)
    await broker.subscribe("here", "work", inbox.deliver)
    await wire.stop()

    with pytest.raises(Unreachable):
        await broker.publish("there", "work", b"a letter", sender="ada")
    await broker.publish("here", "work", b"a letter", sender="ada")

    assert await inbox.wait_for(1) == [b"a letter"]
