"""`Service.begin()` in the hands of code that Holdfast does not call."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, Uuid, insert

from holdfast import Command, Model, Saga, Service, Tx
from holdfast.consistency.schedule import Schedule
from holdfast.errors import TransactionLost
from tests.dispatch.hosting import Hosted, hosting, system

METADATA = MetaData()
NOTES = Table(
    "note",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("text", String, nullable=False),
)
QUICK = Schedule(transaction_ms=2_000)  # begin() may be open for a second


class Note(Model):
    """What a route writes down."""

    text: str


@pytest.fixture
async def desk() -> Service:
    """Return a service with one route that writes."""
    service = Service("desk", tables=METADATA)

    @service.post("/v1/notes")
    async def note(body: Note, tx: Tx) -> Note:
        tx.insert(NOTES, id=tx.new_id(), text=body.text)
        return body

    return service


async def write(desk: Service, text: str) -> None:
    """Write one note as a mounted app does."""
    async with desk.begin() as tx:
        tx.insert(NOTES, id=tx.new_id(), text=text)


async def notes(hosted: Hosted) -> list[str]:
    """Return the notes that were kept."""
    return sorted(row.text for row in await hosted.table("desk", NOTES))


async def test_a_cancelled_app_does_not_take_the_writer_with_it(
    desk: Service, tmp_path: Path
) -> None:
    """A client that goes away in the middle costs its own transaction, and nobody else's."""
    async with hosting(system(desk), tmp_path) as hosted:

        async def hang() -> None:
            async with desk.begin() as tx:
                tx.insert(NOTES, id=tx.new_id(), text="lost")
                await asyncio.sleep(3600)

        hanging = asyncio.create_task(hang())
        await asyncio.sleep(0.01)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging

        async with asyncio.timeout(5):
            await write(desk, "kept")
        assert await notes(hosted) == ["kept"]


async def test_one_that_is_cancelled_while_it_waits_holds_nobody_up(
    desk: Service, tmp_path: Path
) -> None:
    """A turn that nobody waits for any more does not keep the writer when it comes."""
    async with hosting(system(desk), tmp_path) as hosted:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with desk.begin() as tx:
                tx.insert(NOTES, id=tx.new_id(), text="first")
                entered.set()
                await leave.wait()

        holder = asyncio.create_task(first())
        await entered.wait()
        waiting = asyncio.create_task(write(desk, "second"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        leave.set()
        await holder

        async with asyncio.timeout(1):
            await write(desk, "third")
        assert await notes(hosted) == ["first", "third"]


async def test_what_was_held_too_long_writes_into_nobody_elses_transaction(
    desk: Service, tmp_path: Path
) -> None:
    """After its time limit an open transaction is over: the next statement is refused."""
    async with hosting(system(desk), tmp_path, schedule=QUICK) as hosted:

        async def slow() -> None:
            async with desk.begin() as tx:
                await asyncio.sleep(1.5)
                await tx.execute(insert(NOTES).values(id=tx.new_id(), text="too late"))

        async def next_one() -> None:
            async with desk.begin() as tx:
                tx.insert(NOTES, id=tx.new_id(), text="next")
                await asyncio.sleep(0.9)

        late = asyncio.create_task(slow())
        await asyncio.sleep(0.01)
        await next_one()
        with pytest.raises(TransactionLost):
            await late
        assert await notes(hosted) == ["next"]


async def test_an_exception_rolls_back_and_is_the_apps_own(desk: Service, tmp_path: Path) -> None:
    """The app sees its own exception, and nothing was written."""
    async with hosting(system(desk), tmp_path) as hosted:

        async def fail(error: BaseException) -> None:
            async with desk.begin() as tx:
                await tx.execute(insert(NOTES).values(id=tx.new_id(), text="lost"))
                raise error

        for error in (ValueError("no"), KeyboardInterrupt("no")):
            with pytest.raises(type(error), match="no"):
                await fail(error)
        await write(desk, "kept")
        assert await notes(hosted) == ["kept"]


async def test_a_lost_transaction_has_a_public_name(desk: Service, tmp_path: Path) -> None:
    """A commit that fails is told as TransactionLost, which an app can catch."""

    async def linger() -> None:
        async with desk.begin() as tx:
            tx.insert(NOTES, id=tx.new_id(), text="lost")
            await asyncio.sleep(1.5)

    async with hosting(system(desk), tmp_path, schedule=QUICK):
        with pytest.raises(TransactionLost, match="1 s"):
            await linger()


class Put(Command[None]):
    """Put a note on the shelf."""

    text: str


async def test_what_an_app_sends_and_starts_leaves_with_its_commit(tmp_path: Path) -> None:
    """A letter and a saga of a transaction that was rolled back never existed."""
    desk = Service("desk", tables=MetaData(), calls=[Put])
    shelf = Service("shelf", tables=METADATA)

    @shelf.handles
    async def put(command: Put, tx: Tx) -> None:
        tx.insert(NOTES, id=tx.new_id(), text=command.text)

    @desk.saga
    async def put_later(saga: Saga, note: Note) -> None:
        await saga.call(Put(text=f"{note.text} by a saga"))

    async def both(text: str) -> None:
        async with desk.begin() as tx:
            tx.send(Put(text=text))
            tx.start(put_later, Note(text=text))
            if text == "lost":
                raise ValueError(text)

    async with hosting(system(desk, shelf), tmp_path) as hosted:
        with pytest.raises(ValueError, match="lost"):
            await both("lost")
        await asyncio.gather(both("a"), both("b"))
        await asyncio.sleep(5)

        kept = sorted(row.text for row in await hosted.table("shelf", NOTES))
        assert kept == ["a", "a by a saga", "b", "b by a saga"]


async def test_what_comes_after_the_end_is_refused(desk: Service, tmp_path: Path) -> None:
    """A write that nobody would ever flush is not swallowed."""
    async with hosting(system(desk), tmp_path) as hosted:
        async with desk.begin() as tx:
            tx.insert(NOTES, id=tx.new_id(), text="in time")
        with pytest.raises(TransactionLost, match="over"):
            tx.insert(NOTES, id=tx.new_id(), text="late")
        with pytest.raises(TransactionLost, match="over"):
            await tx.execute(insert(NOTES).values(id=tx.new_id(), text="late"))
        assert await notes(hosted) == ["in time"]
