"""A disk that fills up: writes wait or are refused, nothing is lost, done twice or dead."""

import asyncio
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, String, Table, Uuid, insert

from holdfast import Command, Model, Service, System, Tx
from holdfast.consistency.schedule import Schedule
from holdfast.contract.envelope import State
from holdfast.engines.sqlite import SqliteDatabase
from tests.dispatch.hosting import Hosted, hosting, system

METADATA = MetaData()
DONE = Table(
    "done",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("number", Integer),
    Column("text", String),
)
PAD = "x" * 20_000


class Do(Command[None]):
    """Do one thing."""

    number: int


class Wish(Model):
    """What a client wants done."""

    number: int


def office() -> System:
    """Return a front that sends to a back, both of which write a lot."""
    front = Service("front", tables=MetaData(), calls=[Do])
    back = Service("back", tables=METADATA)

    @front.post("/v1/wishes")
    async def wish(body: Wish, tx: Tx) -> None:
        tx.send(Do(number=body.number))

    @back.post("/v1/direct")
    async def direct(body: Wish, tx: Tx) -> None:
        await tx.execute(insert(DONE).values(id=tx.new_id(), number=body.number, text=PAD))

    @back.handles
    async def do(command: Do, tx: Tx) -> None:
        tx.insert(DONE, id=tx.new_id(), number=command.number, text=PAD)

    return system(front, back)


def limit(hosted: Hosted, service: str, *, full: bool) -> None:
    """Let the database grow no further, or let it."""
    database = hosted.hosts[service].ledger.database
    assert isinstance(database, SqliteDatabase)
    pages = database.writer.execute("PRAGMA page_count").fetchone()[0] if full else 1 << 30
    database.writer.execute(f"PRAGMA max_page_count={pages}")


async def done(hosted: Hosted) -> list[int]:
    """Return what was done."""
    return sorted(row.number for row in await hosted.table("back", DONE))


async def test_a_full_disk_of_the_receiver_kills_no_letter(tmp_path: Path) -> None:
    """The letters wait for as long as it takes; then each is handled once."""
    async with hosting(office(), tmp_path, schedule=Schedule(tries_max=3)) as hosted:
        limit(hosted, "back", full=True)
        for number in range(20):
            assert (await hosted.post("/v1/wishes", json={"number": number})).status == 200
        await asyncio.sleep(3_600)
        assert await done(hosted) == []
        limit(hosted, "back", full=False)
        await asyncio.sleep(900)

        assert await done(hosted) == list(range(20))
        assert await hosted.rows("back", State.DEAD) == []
        assert await hosted.rows("front") == []


async def test_a_full_disk_is_a_503_of_a_route(tmp_path: Path) -> None:
    """The client may come again; what was refused did not happen, what was not did."""
    async with hosting(office(), tmp_path) as hosted:
        limit(hosted, "back", full=True)
        refused = await hosted.post("/v1/direct", json={"number": 1}, key="k")
        limit(hosted, "back", full=False)
        taken = await hosted.post("/v1/direct", json={"number": 1}, key="k")

        assert (refused.status, taken.status) == (503, 200)
        assert await done(hosted) == [1]


async def test_another_program_that_locks_the_file_does_not_stop_the_process(
    tmp_path: Path,
) -> None:
    """While an operator's shell holds a write open, writes of that service are 503, and soon."""
    async with hosting(office(), tmp_path) as hosted:
        other = sqlite3.connect(tmp_path / "back.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        refused = await hosted.post("/v1/direct", json={"number": 1})
        took_s = time.monotonic() - started
        assert (await hosted.post("/v1/wishes", json={"number": 2})).status == 200
        other.execute("ROLLBACK")
        other.close()
        await asyncio.sleep(60)

        assert refused.status == 503
        assert took_s < 60, "it waited for the other program"
        assert await done(hosted) == [2]


async def test_a_full_disk_of_the_sender_is_a_503(tmp_path: Path) -> None:
    """A letter that could not be written was not promised."""
    async with hosting(office(), tmp_path) as hosted:
        await asyncio.sleep(1)
        limit(hosted, "front", full=True)
        statuses: list[int] = []
        for number in range(200):
            statuses.append((await hosted.post("/v1/wishes", json={"number": number})).status)
        limit(hosted, "front", full=False)
        await asyncio.sleep(600)

        assert set(statuses) <= {200, 503}
        assert await done(hosted) == [n for n, status in enumerate(statuses) if status == 200]
