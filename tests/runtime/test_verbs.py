"""What an operator does: cancel a saga, have letters tried now, publish an event."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from holdfast import Command, Event, Model, Saga, Service, System, Tx
from holdfast.errors import Conflict, Invalid, UnknownName
from holdfast.runtime.control import Control
from holdfast.testing import Running, running
from tests.runtime import ferry
from tests.servers import Postgres

PATIENT = replace(ferry.QUICK, retry_ms=3_600_000, retry_cap_ms=3_600_000, tries_max=8)


@pytest.fixture(params=["sqlite", "postgres"])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """The ferry line, which tries again after an hour."""
    ferry.mended.clear()
    environ: dict[str, str] = {}
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        for service in ("DESK", "HARBOUR"):
            environ[f"{service}_DATABASE_URL"] = await server.database()
    async with running(ferry.ferry, schedule=PATIENT, environ=environ) as line:
        yield line


async def booked(line: Running, who: str) -> str:
    """Book, and return the saga's id when it has taken its first step."""
    await line.client.post("/bookings", json={"who": who})
    control = line.process.control
    while True:
        for saga in await control.sagas():
            shown = await control.saga(saga["id"])
            if shown["input"]["who"] == who and shown["steps"]:
                return str(saga["id"])
        await asyncio.sleep(0)  # the test's time-out is the bound


async def ended(control: Control, saga: str) -> dict[str, Any]:
    """Return a saga when it has ended."""
    while not (shown := await control.saga(saga))["ended_at"]:
        await asyncio.sleep(0)
    return shown


async def names(line: Running, service: str, table: Any) -> list[str]:
    """Return who is in a table."""
    host = next(host for host in line.process.hosts if host.name == service)
    reader = await host.ledger.database.read()
    found = [row.who for row in await reader.execute(select(table))]
    await reader.close()
    return found


@pytest.mark.parametrize("who", ["waits", "bug", "driverless"])
async def test_a_saga_is_cancelled(line: Running, who: str) -> None:
    """One that waits, one that is parked, one whose command fails: the berth is free again."""
    saga = await booked(line, who)
    control = line.process.control
    shown = await control.cancel(saga)
    done = await ended(control, saga)

    assert shown["state"] in ("running", "failed")
    assert (done["state"], done["error"]) == ("failed", "cancelled by an operator")
    assert await names(line, "harbour", ferry.berth) == []
    with pytest.raises(Conflict, match="has failed; only one under way"):
        await control.cancel(saga)


async def failed_there(line: Running, saga: str) -> Any:
    """Wait until a saga's letter has failed at its receiver; return it."""
    while True:
        waiting = (await line.process.control.saga(saga))["waiting"]
        if waiting and (waiting[0]["receiver_says"] or {}).get("error"):
            return waiting[0]
        await asyncio.sleep(0)


@pytest.mark.parametrize("by", ["id", "receiver", "all"])
async def test_letters_are_tried_now(line: Running, by: str) -> None:
    """What they waited for is mended: they need not wait for an hour."""
    saga = await booked(line, "driverless")
    letter = await failed_there(line, saga)
    ferry.mended.add("driverless")
    given = {"id": {"id": letter["id"]}, "receiver": {"receiver": "harbour"}, "all": {}}[by]
    result = await line.process.control.retry_now(**given)
    while len((await line.process.control.saga(saga))["steps"]) < 2:
        await asyncio.sleep(0)

    assert result["due_now"] >= 1


async def test_what_is_not_there_cannot_be_tried(line: Running) -> None:
    """A wrong id or service is refused; where nothing waits, nothing is due."""
    control = line.process.control

    assert await control.retry_now() == {"due_now": 0}
    with pytest.raises(UnknownName, match="no service 'harbor'; there are desk, harbour"):
        await control.retry_now(receiver="harbor")
    with pytest.raises(UnknownName, match="waits for a later time"):
        await control.retry_now(id="01a20109-59ac-76e3-a07b-a8497c522abe")


async def test_an_event_is_published_by_hand(line: Running) -> None:
    """Handlers hear it, and sagas that wait for it; wrong fields are refused."""
    saga = await booked(line, "waits")
    control = line.process.control
    while len((await control.saga(saga))["steps"]) < 2:
        await asyncio.sleep(0)
    sent = await control.send("Sailed", '{"who": "waits"}')
    done = await ended(control, saga)

    assert (sent["service"], sent["heard_by"]) == ("harbour", ["desk"])
    assert len(sent["letters"]) == 1
    assert done["state"] == "completed"
    assert await names(line, "desk", ferry.seen) == ["waits"]
    with pytest.raises(Invalid, match="Sailed: who: Field required"):
        await control.send("Sailed", "{}")


class One:
    """The first versions."""

    class Print(Command[None]):
        """Print a page."""

        page: int

    class Printed(Event):
        """A page was printed."""

        page: int


class Two:
    """The versions after them, which ask for more."""

    class Print(Command[None], version=2):
        """Print pages."""

        pages: list[int]

    class Printed(Event, version=2):
        """Pages were printed."""

        pages: list[int]


press = Service("press", publishes=[Two.Printed, One.Printed])
shelf = Service("shelf")
printed: list[Any] = []


@press.handles
async def print_pages(command: Two.Print, tx: Tx) -> None:
    """Print them."""
    printed.append(command)


@press.handles
async def print_page(command: One.Print, tx: Tx) -> None:
    """Print it."""
    printed.append(command)


@shelf.handles
async def keep_pages(event: Two.Printed, tx: Tx) -> None:
    """Keep them."""
    printed.append(event)


@shelf.handles
async def keep_page(event: One.Printed, tx: Tx) -> None:
    """Keep it."""
    printed.append(event)


async def test_each_version_of_a_message_is_sent_by_hand() -> None:
    """By its name on the wire; the plain name is that of the newest."""
    printed.clear()
    async with running(System("paper", services=[press, shelf])) as paper:
        send = paper.process.control.send
        for name in ("Print", "Printed"):
            await send(name, '{"pages": [1, 2]}')
            await send(f"{name}.v2", '{"pages": [3]}')
            await send(f"{name}.v1", '{"page": 4}')
            await paper.settled()
        counted = paper.process.metrics.ends()
        with pytest.raises(UnknownName, match=r"Print, Print\.v1, Print\.v2, Printed, .*v2$"):
            await send("Print.v3", "{}")

    commands = [Two.Print(pages=[1, 2]), Two.Print(pages=[3]), One.Print(page=4)]
    events = [Two.Printed(pages=[1, 2]), Two.Printed(pages=[3]), One.Printed(page=4)]
    assert len(printed) == 6
    assert (counted["handler press.Print"], counted["handler press.Print.v2"]) == (1, 2)
    assert (counted["handler shelf.Printed"], counted["handler shelf.Printed.v2"]) == (1, 2)
    assert all(message in printed for message in [*commands, *events])


class Nap(Model):
    """How a saga is to go on."""

    bug: bool = False


bedroom = Service("bedroom")


@bedroom.saga
async def nap(saga: Saga, how: Nap) -> None:
    """Sleep, or be broken."""
    if how.bug:
        raise LookupError("no bed")
    await saga.sleep(timedelta(hours=1))


@bedroom.post("/naps", public=True)
async def sleep_well(tx: Tx, naps: int, bug: bool) -> None:
    """Begin so many."""
    for _ in range(naps):
        tx.start(nap, Nap(bug=bug))


async def test_what_is_looked_for_is_found_among_many() -> None:
    """The parked one behind all newer ones, and what the newest waits for behind all older rows."""
    async with running(System("night", services=[bedroom])) as night:
        await night.client.post("/naps?naps=1&bug=true")
        await night.client.post("/naps?naps=1100&bug=false")
        control = night.process.control
        parked = await control.sagas(limit=1, state="parked")
        [newest] = await control.sagas(limit=1)
        [oldest] = [one for one in await control.sagas(limit=1_100) if one["id"] < newest["id"]][
            -1:
        ]
        told: list[Any] = [await control.saga(one["id"]) for one in (newest, oldest)]

    assert [str(one["error"]).partition("\n")[0] for one in parked] == ["LookupError: no bed"]
    assert [[row["kind"] for row in one["waiting"]] for one in told] == [["timer"], ["timer"]]
