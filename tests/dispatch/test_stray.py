"""Code that raises CancelledError though nobody has cancelled it: a bug there, and no more."""

import asyncio

import pytest

from holdfast import Command, Outside, Query, Read, Service, System, Tx
from holdfast.contract.http import Request
from holdfast.observability import troubles
from holdfast.testing import running


class Look(Query[str]):
    """Look at something that was cancelled."""

    at_once: bool


class Touch(Command[None]):
    """Touch it."""


async def look(*, at_once: bool) -> str:
    """Await what was cancelled, which raises CancelledError where it is awaited."""
    if at_once:
        raise asyncio.CancelledError
    other = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    other.cancel()
    await other
    return "there"


desk = Service("desk", calls=[Look])
room = Service("room", calls=[Touch])


@desk.get("/read", public=True)
async def read_it(read: Read, at_once: bool) -> str:
    """Look while reading."""
    return await look(at_once=at_once)


@desk.post("/write", public=True)
async def write_it(tx: Tx, at_once: bool) -> str:
    """Look before writing."""
    return await look(at_once=at_once)


@desk.get("/ask", public=True)
async def ask_it(outside: Outside, at_once: bool) -> str:
    """Have the room look."""
    return await outside.ask(Look(at_once=at_once))


@room.handles
async def look_there(query: Look) -> str:
    """Look."""
    return await look(at_once=query.at_once)


@room.post("/touch", public=True)
async def touch(tx: Tx) -> None:
    """Send oneself a command whose handler looks."""
    tx.send(Touch())


tries: list[int] = []


@room.handles
async def touch_there(command: Touch, tx: Tx) -> None:
    """Look once."""
    tries.append(1)
    if len(tries) == 1:
        await look(at_once=False)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_stray_cancellation_is_answered_and_told(at_once: bool) -> None:
    """It was a lost connection to the client, and nothing in the log."""
    tries.clear()
    asked = f"?at_once={str(at_once).lower()}"
    async with running(System("house", services=[desk, room])) as house:
        statuses = [
            (await house.client.get(f"/read{asked}")).status,
            (await house.client.post(f"/write{asked}")).status,
            (await house.client.get(f"/ask{asked}")).status,
            (await house.client.post("/touch")).status,
        ]
        await house.settled()
        house.process.logger.flush()
        said = "\n".join(troubles(house.log.getvalue()))

    assert statuses == [500, 500, 502, 200]
    assert len(tries) == 2
    assert said.count("nobody's wish to stop it") >= 2


async def test_who_wishes_the_end_of_a_task_gets_it() -> None:
    """A cancellation that is none of the user's code's own goes through."""
    begun = asyncio.Event()
    slow = Service("slow")

    @slow.get("/wait", public=True)
    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with running(System("house", services=[slow])) as house:
        [route] = house.process.hosts[0].routes
        task = asyncio.ensure_future(route(Request("GET", "/wait"), {}))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
