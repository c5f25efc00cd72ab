"""A constraint that is looked at with the COMMIT is one writer's own fault, and no outage."""

import asyncio

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, select

from holdfast import Command, Model, Service, System, Tx
from holdfast.testing import Broken, Running, running, virtual_time

metadata = MetaData()
shelf = Table("shelf", metadata, Column("id", Integer, primary_key=True))
book = Table(
    "book",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "shelf",
        Integer,
        ForeignKey("shelf.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
)


class Place(Command[None]):
    """Puts a book onto a shelf."""

    id: int
    shelf: int


class Book(Model):
    """A book, and its shelf, which may come with it."""

    id: int
    shelf: int
    new_shelf: bool = False


library = Service("library", tables=metadata)


@library.post("/books", status_code=201, public=True)
async def add(body: Book, tx: Tx) -> None:
    """Insert the book first: its shelf only has to be there at the end."""
    tx.insert(book, id=body.id, shelf=body.shelf)
    if body.new_shelf:
        tx.insert(shelf, id=body.shelf)


@library.handles
async def place(command: Place, tx: Tx) -> None:
    """Insert it."""
    tx.insert(book, id=command.id, shelf=command.shelf)


async def kept(run: Running) -> list[int]:
    """Return the books that are there."""
    reader = await run.process.hosts[0].ledger.database.read()
    try:
        rows = await reader.execute(select(book.c.id).order_by(book.c.id), None)
        return [row.id for row in rows]
    finally:
        await reader.close()


async def test_whoever_breaks_it_is_refused_and_those_beside_it_are_not() -> None:
    """Twenty requests at once, one of them wrong: they share transactions, and not the blame."""
    async with running(System("deferred", [library])) as run:
        bodies = [{"id": n, "shelf": n, "new_shelf": n != 7} for n in range(20)]
        answers = await asyncio.gather(*(run.client.post("/books", json=body) for body in bodies))
        rows = await kept(run)

    statuses = {n: answer.status for n, answer in enumerate(answers)}
    assert statuses == {n: 409 if n == 7 else 201 for n in range(20)}
    assert "the row that it names is not there" in answers[7].json()["detail"]
    assert rows == [n for n in range(20) if n != 7]


@virtual_time
async def test_a_letter_that_breaks_it_has_its_tries_and_is_dead() -> None:
    """As of any other error of its handler; it is not tried for ever."""
    async with running(System("deferred", [library])) as run:
        await run.send(Place(id=1, shelf=99))
        with pytest.raises(Broken, match=r"Place.* is dead: .*the row that it names is not there"):
            await run.settled()

        assert await kept(run) == []
