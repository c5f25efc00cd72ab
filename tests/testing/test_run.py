"""A system inside a test, in virtual time: HTTP as ever, and days that pass at once."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import pytest
from sqlalchemy import Column, DateTime, MetaData, String, Table, select

from holdfast import External, Header, Model, Outside, Read, Saga, Service, System, Tx
from holdfast.contract.http import Request, Response
from holdfast.errors import DeadlineExceeded
from holdfast.ports import Clock
from holdfast.testing import running, virtual_time
from holdfast.testing.virtual import VirtualLoop

metadata = MetaData()
plant = Table(
    "plant",
    metadata,
    Column("name", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
shop = External("seed-shop", url="https://seeds.example", key_life_s=3_600)
garden = Service("garden", tables=metadata, reaches=[shop])


class Plant(Model):
    """What grows."""

    name: str


@garden.post("/v1/plants", status_code=202, public=True)
async def sow(body: Plant, tx: Tx) -> None:
    """Have it grow."""
    tx.insert(plant, name=body.name, state="sown", at=tx.now)
    tx.start(grow, body)


@garden.saga
async def grow(saga: Saga, what: Plant) -> None:
    """Wait for forty days."""
    await saga.sleep(timedelta(days=40))
    await saga.local(note, what.name)


async def note(tx: Tx, name: str) -> None:
    """Write down when."""
    tx.update(plant, name, state="ripe", at=tx.now)


@garden.get("/v1/plants/{name}", public=True)
async def look(name: str, read: Read) -> dict[str, str]:
    """Look at it."""
    row = (await read.execute(select(plant).where(plant.c.name == name))).one()
    return {"state": row.state, "at": row.at.isoformat()}


@garden.get("/v1/never", public=True)
async def never(read: Read) -> None:
    """Wait for longer than anybody."""
    await asyncio.sleep(86_400)


@garden.get("/v1/prices", public=True)
async def prices(outside: Outside) -> dict[str, str]:
    """Ask the shop, and think about it."""
    answer = await outside.get(shop, "/v1/prices")
    return {"price": answer.body.decode(), "thought": await outside.run(str.upper, "cheap")}


@garden.get("/v1/words", public=True)
async def words(word: Annotated[str, Header()]) -> str:
    """Say what was said."""
    return word


def system() -> System:
    """Return the garden."""
    return System("garden", services=[garden])


@virtual_time
async def test_a_saga_that_sleeps_for_weeks_ends_at_once() -> None:
    """At the time at which it should; the clock begins now."""
    begun, real = datetime.now(UTC), time.thread_time()
    async with running(system()) as run:
        assert (await run.client.post("/v1/plants", json={"name": "oak"})).status == 202
        await asyncio.sleep(39 * 86_400)
        before = (await run.client.get("/v1/plants/oak")).json()
        await run.settled()
        after = (await run.client.get("/v1/plants/oak")).json()

    took = datetime.fromisoformat(after["at"]) - begun
    assert (before["state"], after["state"]) == ("sown", "ripe")
    assert timedelta(days=40) <= took < timedelta(days=40, hours=1)
    assert time.thread_time() - real < 60


@virtual_time
async def test_settled_gives_up_in_virtual_time() -> None:
    """What is open is in the message."""
    async with running(system()) as run:
        await run.client.post("/v1/plants", json={"name": "oak"})
        with pytest.raises(TimeoutError, match=r"not settled after 86400 s: .*saga grow"):
            await run.settled(within_s=86_400)


@virtual_time
async def test_http_is_spoken_as_ever() -> None:
    """Statuses, headers, limits and deadlines are those of the server and the client."""
    async with running(system()) as run:
        client, begun = run.client, asyncio.get_running_loop().time()
        statuses = [
            (await client.get("/v1/nothing")).status,
            (await client.delete("/v1/prices")).status,
            (await client.post("/v1/plants", json={"name": 1})).status,
            (await client.post("/v1/plants", body=b"x" * (2 << 20))).status,
            (await client.get("/v1/never")).status,
        ]
        word = await client.get("/v1/words", headers={"Word": "hello"})
        with pytest.raises(DeadlineExceeded):
            await client.get("/v1/never", timeout_s=1.0)
        passed_s = asyncio.get_running_loop().time() - begun

    assert statuses == [404, 405, 422, 413, 504]
    assert word.json() == "hello"
    assert 11 < passed_s < 20, "the gateway's ten seconds, and the client's one"


@virtual_time
async def test_third_parties_are_their_stand_ins() -> None:
    """They are served on the same network, with the same clock."""
    made = system()

    class Seeds:
        def __init__(self, clock: Clock) -> None:
            self._clock = clock

        async def handle(self, request: Request) -> Response:
            return Response(200, body=f"{request.path} {self._clock.now():.0f}".encode())

    made.stand_in(shop)(Seeds)
    async with running(made) as run:
        await asyncio.sleep(10 * 86_400)
        answer = (await run.client.get("/v1/prices")).json()

    path, at = answer["price"].split()
    assert (path, answer["thought"]) == ("/v1/prices", "CHEAP")
    assert float(at) - time.time() > 9 * 86_400


@virtual_time
async def test_without_a_stand_in_nobody_is_there() -> None:
    """Nothing of the host's network is reached."""
    async with running(system()) as run:
        assert (await run.client.get("/v1/prices")).status == 502


@pytest.fixture
def name() -> str:
    """A fixture, for a decorated test to take."""
    return "fern"


@pytest.mark.parametrize("times", [1, 2])
@virtual_time
async def test_a_decorated_test_takes_fixtures(name: str, times: int, tmp_path: Path) -> None:
    """It is a plain function; what is kept in its folder is there the second time."""
    for _ in range(times):
        async with running(system(), data=tmp_path) as run:
            if (await run.client.get(f"/v1/plants/{name}")).status != 200:
                await run.client.post("/v1/plants", json={"name": name})
            await run.settled()
            assert (await run.client.get(f"/v1/plants/{name}")).json()["state"] == "ripe"

    assert isinstance(asyncio.get_running_loop(), VirtualLoop)


async def test_a_test_without_it_runs_in_real_time() -> None:
    """Beside those, on the loop that the runner gives it."""
    async with running(system()) as run:
        assert run.process.url.startswith("http://127.0.0.1:")
        assert (await run.client.get("/v1/words", headers={"Word": "hello"})).json() == "hello"
