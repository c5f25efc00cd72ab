"""A ferry line for the tests of what operators do: bookings that are undone, or not."""

from datetime import timedelta

from pydantic import Field
from sqlalchemy import Column, MetaData, String, Table

from holdfast import Command, Event, Failure, Model, Saga, Service, System, Tx, Undo
from holdfast.consistency.schedule import Schedule

QUICK = Schedule(retry_ms=10, retry_cap_ms=20, tries_max=3, keep_ms=100, poll_ms=50)


class Booking(Model):
    """What is booked; the harbour does what the name says."""

    who: str
    api_token: str = "t0ps3cret"
    door: str = Field("open-sesame", repr=False)


class Full(Failure, status=409):
    """No berth is left."""


class Berth(Command[int], fails=[Full]):
    """Take a berth."""

    who: str
    api_token: str = "t0ps3cret"


class Free(Undo[Berth]):
    """Give it back."""

    who: str


class Load(Command[None], fails=[Full]):
    """Load the car."""

    who: str


class Sailed(Event, topic="who"):
    """The ship has left."""

    who: str


metadata, log = MetaData(), MetaData()
berth = Table("berth", metadata, Column("who", String, primary_key=True))
seen = Table("seen", log, Column("who", String, primary_key=True))

desk = Service("desk", calls=[Berth, Load], tables=log)
harbour = Service("harbour", tables=metadata, publishes=[Sailed])
ferry = System("ferry", services=[desk, harbour])
mended = set[str]()
"""Names whose bug is mended."""


@desk.post("/bookings", public=True)
async def book(body: Booking, tx: Tx) -> None:
    """Begin a booking."""
    tx.start(travel, body)


@desk.saga(waits=[Sailed])
async def travel(saga: Saga, booking: Booking) -> None:
    """Take a berth, load, wait for the ship."""
    name = booking.who
    await saga.call(Berth(who=name), undo=Free(who=name))
    if name == "bug" and name not in mended:
        raise RuntimeError("a bug")
    await saga.call(Load(who=name), timeout=timedelta(hours=5))
    await saga.wait(Sailed, name, timeout=timedelta(days=9))


@desk.handles
async def on_sailed(event: Sailed, tx: Tx) -> None:
    """Write it down."""
    tx.insert(seen, who=event.who)


@harbour.handles
async def take(command: Berth, tx: Tx) -> int:
    """Take a berth."""
    tx.insert(berth, who=command.who)
    return 7


@harbour.handles
async def free(undo: Free, tx: Tx) -> None:
    """Give it back, unless the ramp is stuck."""
    if undo.who == "stuck" and undo.who not in mended:
        raise RuntimeError("the ramp is stuck\npassword=hunter22 did not help")
    await tx.execute(berth.delete().where(berth.c.who == undo.who))


@harbour.handles
async def load(command: Load, tx: Tx) -> None:
    """Load the car; there may be no room, or no driver."""
    if command.who in ("full", "stuck"):
        raise Full()
    if command.who == "driverless" and command.who not in mended:
        raise LookupError("no driver")
