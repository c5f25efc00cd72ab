"""A system that is small enough to see through: a desk takes parcels, a shed packs them."""

from pathlib import Path

from sqlalchemy import Column, MetaData, String, Table

from holdfast import (
    Command,
    Event,
    External,
    Failure,
    Gateway,
    Model,
    Outside,
    Saga,
    Service,
    System,
    Tx,
    Undo,
)

TRY = ["curl {url}/v1/parcels"]


class TooHeavy(Failure, status=409):
    """Nobody can lift it."""

    kg: int


class Pack(Command[None], fails=[TooHeavy]):
    """Pack a parcel."""

    kg: int


class Unpack(Undo[Pack]):
    """Take it out again."""

    kg: int


class Announce(Command[None]):
    """Fax somebody."""

    text: str


class Closed(Event):
    """The shed is closed."""

    why: str


class Parcel(Model):
    """A parcel; one of which the note is "locked" waits until there is a file `key`."""

    note: str
    kg: int = 1


class Taken(Model):
    """A parcel was taken."""

    note: str


class Gate(Model):
    """A pipe that is read to its end before the answer."""

    path: str


class Opened(Model):
    """What came through the gate."""

    text: str


fax = External("fax", url="http://127.0.0.1:9", key_life_s=0.1, idempotent=False)
metadata = MetaData()
closed = Table("closed", metadata, Column("why", String, primary_key=True))
desk = Service("desk", calls=[Pack], tables=metadata)
shed = Service("shed", reaches=[fax], publishes=[Closed])


@desk.post("/v1/parcels", status_code=202, public=True)
async def take(body: Parcel, tx: Tx) -> Taken:
    """Take a parcel."""
    tx.start(deliver, body)
    return Taken(note=body.note)


@desk.post("/v1/gates", public=True)
async def wait(body: Gate, outside: Outside) -> Opened:
    """Answer when the gate has been opened."""
    return Opened(text=await outside.run(Path(body.path).read_text))


@desk.saga
async def deliver(saga: Saga, parcel: Parcel) -> None:
    """Pack the parcel, if the shed is open."""
    if parcel.note == "locked" and not Path("key").exists():
        raise RuntimeError("there is no key")
    try:
        await saga.call(Pack(kg=parcel.kg), undo=Unpack(kg=parcel.kg))
    except TooHeavy:
        await saga.undo()


@shed.handles
async def pack(command: Pack, tx: Tx) -> None:
    """Refuse what is too heavy."""
    if command.kg > 30:
        raise TooHeavy(kg=command.kg)


@shed.handles
async def unpack(undo: Unpack, tx: Tx) -> None:
    """Need nothing."""


@desk.handles
async def on_closed(event: Closed, tx: Tx) -> None:
    """Hear it."""
    tx.insert(closed, why=event.why)


@shed.handles
async def announce(command: Announce, outside: Outside) -> None:
    """Fax it; faxes have no keys, so there is one try."""
    await outside.post(fax, "/", json={"text": command.text})


tiny = System("tiny", services=[desk, shed], gateway=Gateway())
