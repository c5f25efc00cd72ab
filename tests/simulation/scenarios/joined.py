"""A scenario that aims at what turns share: many of them at once, which write, read and refuse."""

import asyncio
import random
from collections import Counter
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, String, Table, Uuid, func, select, update
from sqlalchemy.exc import IntegrityError

from holdfast import Command, Failure, Model, Saga, Service, System, Tx, Undo
from holdfast.simulation import Client, Setup, World
from holdfast.simulation.faults import AnyFault, Lever
from tests.simulation.scenario import Scenario

ACCOUNTS = 2

_books = MetaData()
account = Table(
    "account",
    _books,
    Column("id", Integer, primary_key=True),
    Column("added", Integer, nullable=False),
    Column("note", Integer),
    Column("last", Integer),
)
entry = Table(
    "entry",
    _books,
    Column("id", Uuid, primary_key=True),
    Column("kind", String, nullable=False),
    Column("account", Integer, nullable=False),
    Column("place", Integer),
)
_copies = MetaData()
copy = Table("copy", _copies, Column("id", Uuid, primary_key=True), Column("undone", Integer))
_files = MetaData()
file = Table("file", _files, Column("id", Uuid, primary_key=True))


class NotBooked(Failure, status=409):
    """It is not booked."""


class Booking(Model):
    """What is booked, and how."""

    id: UUID
    kind: str
    account: int


class Copy(Command[None]):
    """Keep a copy."""

    id: UUID


class Tear(Undo[Copy]):
    """Tear it up."""

    id: UUID


class FileAway(Command[None]):
    """File an entry."""

    id: UUID


books = Service("books", tables=_books, calls=[Copy, FileAway])
copies = Service("copies", tables=_copies)
files = Service("files", tables=_files)


@files.handles
async def file_away(command: FileAway, tx: Tx) -> None:
    """File it."""
    tx.insert(file, id=command.id)


@copies.handles
async def keep(command: Copy, tx: Tx) -> None:
    """Keep a copy."""
    tx.insert(copy, id=command.id)


@copies.handles
async def tear(undo: Tear, tx: Tx) -> None:
    """Tear it up."""
    tx.update(copy, undo.id, undone=1)


@books.post("/v1/accounts", status_code=201, public=True)
async def open_accounts(tx: Tx) -> None:
    """Open them."""
    for number in range(ACCOUNTS):
        tx.insert(account, id=number, added=0)


@books.post("/v1/entries", status_code=201, public=True)
async def book(body: Booking, tx: Tx) -> None:
    """Book one entry in one of the ways that programs have."""
    mine = {"id": body.id, "kind": body.kind, "account": body.account}
    match body.kind:
        case "noted":  # one row, by writes of two shapes, none of which looks at it
            tx.update(account, body.account, last=0)
            tx.update(account, body.account, last=body.id.int, note=body.id.int)
            tx.update(account, body.account, last=body.id.int + 1)
        case "counted":
            found = await tx.execute(select(func.count()).select_from(entry))
            mine["place"] = found.scalar_one()
        case "added" | "refused":
            await tx.execute(
                update(account)
                .where(account.c.id == body.account)
                .values(added=account.c.added + 1)
            )
            if body.kind == "refused":
                raise NotBooked
        case "sent" | "unsent":
            tx.send(Copy(id=body.id))
            if body.kind == "unsent":
                tx.insert(entry, **mine)
                raise NotBooked
        case "twice":
            await _twice(tx, body)
        case _:
            tx.start(booking, body)
    tx.insert(entry, **mine)


async def _twice(tx: Tx, body: Booking) -> None:
    """Book what is there already; that is refused, and everything else is kept."""
    other = UUID(int=body.id.int + (1 << 64))
    row = {"id": other, "kind": "other", "account": body.account}
    tx.insert(entry, **row)
    try:
        async with tx.savepoint():
            tx.insert(entry, **row)
    except IntegrityError:
        return
    raise AssertionError("it was there already")


@books.saga
async def booking(saga: Saga, wanted: Booking) -> None:
    """File and copy an entry, and tear the copy up again."""
    await saga.gather(
        saga.call(Copy(id=wanted.id), undo=Tear(id=wanted.id)), saga.call(FileAway(id=wanted.id))
    )
    if wanted.kind == "saga undone":
        await saga.undo()
    await saga.local(placed, wanted.id)


async def placed(tx: Tx, id: UUID) -> None:
    """Say that a saga has ended."""
    tx.update(entry, id, place=1)


SAGAS = ("saga", "saga undone")
KINDS = ("noted", "counted", "added", "refused", "sent", "unsent", "twice", *SAGAS)
bookkeeping = System("bookkeeping", services=[books, copies, files])


@bookkeeping.workload
async def clerks(client: Client) -> None:
    """Some clerks book at once."""
    await client.post("/v1/accounts", json={}, key="accounts")

    async def clerk(number: int) -> None:
        body = {
            "id": str(UUID(int=number)),
            "kind": client.chance.choice(KINDS),
            "account": client.chance.randrange(ACCOUNTS),
        }
        await client.post("/v1/entries", json=body, key=f"entry-{number}")

    for first in range(1, client.size, 8):
        await asyncio.gather(*map(clerk, range(first, first + 8)))


def entries(world: World, *kinds: str) -> list[UUID]:
    """Return the entries of some kinds."""
    rows = world.rows("books", select(entry.c.id).where(entry.c.kind.in_(kinds)))
    return sorted(row.id for row in rows)


@bookkeeping.invariant
def the_last_write_holds(world: World) -> None:
    """Of three writes of a row the values of the last are there."""
    for row in world.rows("books", select(account)):
        assert row.last is None or row.last == row.note + 1, f"{row}"


@bookkeeping.invariant
def who_counts_sees_what_was_written(world: World) -> None:
    """Two that counted did not count the same."""
    rows = world.rows("books", select(entry.c.place).where(entry.c.kind == "counted"))
    twice = [place for place, times in Counter(row.place for row in rows).items() if times > 1]
    assert not twice, f"{twice} were counted more than once"


@bookkeeping.invariant
def what_is_refused_leaves_nothing(world: World) -> None:
    """No entry, no sum and no copy."""
    added = sum(row.added for row in world.rows("books", select(account)))
    copied = [row.id for row in world.rows("copies", select(copy.c.id))]
    assert not entries(world, "refused", "unsent")
    assert added == len(entries(world, "added"))
    filed = [row.id for row in world.rows("files", select(file.c.id))]
    assert sorted(copied) == entries(world, "sent", *SAGAS)
    assert sorted(filed) == entries(world, *SAGAS)
    assert len(entries(world, "other")) == len(entries(world, "twice"))


@bookkeeping.invariant
def what_is_undone_is_torn(world: World) -> None:
    """And nothing else is; every saga says that it has ended."""
    torn = [row.id for row in world.rows("copies", select(copy).where(copy.c.undone == 1))]
    placed = select(entry.c.id).where(entry.c.kind.in_(SAGAS), entry.c.place == 1)
    assert sorted(torn) == entries(world, "saga undone")
    assert sorted(row.id for row in world.rows("books", placed)) == entries(world, *SAGAS)


def unsteady(chance: random.Random) -> list[AnyFault]:
    """Transactions are slow and lost, answers of the broker too, and parcels come again."""
    return [
        Lever(engine="database books", lever="slow_commit_s", value=(0.1, 0.5), at_s=0.0, for_s=20),
        Lever(engine="database books", lever="conflict", value=0.2, at_s=0.0, for_s=20.0),
        Lever(engine="database copies", lever="lose_reply", value=0.2, at_s=0.0, for_s=20.0),
        Lever(engine="broker", lever="duplicate", value=0.5, at_s=0.0, for_s=20.0),
        Lever(engine="broker", lever="lose_ack", value=0.3, at_s=0.0, for_s=20.0),
    ]


SCENARIOS = [
    Scenario(bookkeeping, (), setup=Setup(size=40)),
    Scenario(
        bookkeeping, (), setup=Setup(size=40, replicas={"books": 2, "copies": 2}), faults=unsteady
    ),
]
