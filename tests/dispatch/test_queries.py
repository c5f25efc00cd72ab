"""Queries between services: who may ask, what comes back, and how long it may take."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from holdfast import External, Failure, Model, Outside, Query, Read, Service, System
from holdfast.contract.cause import NO_CAUSE
from holdfast.contract.http import Request, Response
from holdfast.errors import BadAnswer, ConnectionLost, DeadlineExceeded, Forbidden, Unreachable
from holdfast.resilience import EdgePolicy
from tests.dispatch.hosting import Hosted, hosting, problem, system

METADATA = MetaData()
PRICES = Table("price", METADATA, Column("id", String, primary_key=True), Column("cents", Integer))


class Unknown(Failure, status=404):
    """Nobody sells this."""

    sku: str


class SoldOut(Failure, status=409):
    """There is none left."""


class GetPrice(Query[int], fails=[Unknown]):
    """Ask what a thing costs."""

    sku: str


class Quote(Model):
    """An answer of the route."""

    cents: int


ONCE = EdgePolicy(timeout_s=1, retry=None, breaker=None)


def market() -> System:
    """Return a stall that asks, and a shelf that answers."""
    shelf = Service("shelf", tables=METADATA)
    stall = Service("stall", calls=[GetPrice], policies={GetPrice: ONCE})
    idle = Service("idle")

    @shelf.handles
    async def price(query: GetPrice, read: Read) -> int:
        match query.sku:
            case "slow":
                await asyncio.sleep(60)
            case "bug":
                raise RuntimeError("secret of the shelf")
            case "soldout":
                raise SoldOut
            case "write":
                await read.execute(insert(PRICES).values(id="x", cents=1))
        found = await read.execute(select(PRICES.c.cents).where(PRICES.c.id == query.sku))
        cents = found.scalar_one_or_none()
        if cents is None:
            raise Unknown(sku=query.sku)
        return int(cents)

    @stall.get("/v1/quotes/{sku}", public=True)
    async def quote(sku: str, outside: Outside) -> Quote:
        return Quote(cents=await outside.ask(GetPrice(sku=sku)))

    @idle.get("/v1/stolen/{sku}", public=True)
    async def steal(sku: str, outside: Outside) -> Quote:
        return Quote(cents=await outside.ask(GetPrice(sku=sku)))

    return system(shelf, stall, idle)


async def stocked(hosted: Hosted) -> None:
    """Put one price on the shelf."""
    async with hosted.hosts["shelf"].begin() as tx:
        tx.insert(PRICES, id="kettle", cents=1999)


async def quoted(tmp_path: Path, sku: str, *, within_s: float | None = None) -> Response:
    """Ask the stall for a price."""
    async with hosting(market(), tmp_path) as hosted:
        await stocked(hosted)
        now = asyncio.get_running_loop().time()
        deadline = None if within_s is None else now + within_s
        return await hosted.request("GET", f"/v1/quotes/{sku}", deadline=deadline)


async def ask(hosted: Hosted, sku: str, *, sender: str, within_s: float = 1.0) -> Any:
    """Ask as the edge of another service would."""
    deadline = asyncio.get_running_loop().time() + within_s
    return await hosted.asks.ask(
        GetPrice(sku=sku), sender=sender, deadline=deadline, cause=NO_CAUSE
    )


async def test_a_query_is_answered_from_the_tables_of_its_service(tmp_path: Path) -> None:
    """The reply is typed, and there is nothing between the two but the declaration."""
    assert (await quoted(tmp_path, "kettle")).body == b'{"cents":1999}'


async def test_a_declared_failure_reaches_the_client_of_the_one_who_asked(tmp_path: Path) -> None:
    """It is part of the contract: its status, its words, its fields."""
    document = problem(await quoted(tmp_path, "anvil"), 404)

    assert document["code"] == "Unknown"
    assert document["detail"] == "Nobody sells this."
    assert document["failure"] == {"sku": "anvil"}


@pytest.mark.parametrize("sku", ["soldout", "bug"])
async def test_what_a_query_does_not_declare_is_a_bad_answer(tmp_path: Path, sku: str) -> None:
    """An undeclared failure is a bug there; the client learns nothing of it."""
    response = await quoted(tmp_path, sku)

    assert problem(response, 502)["code"] == "bad_answer"
    assert b"secret" not in response.body
    assert b"SoldOut" not in response.body


async def test_a_query_has_the_time_of_its_edge(tmp_path: Path) -> None:
    """A handler that hangs is cancelled when the time-out of the edge has passed."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    response = await quoted(tmp_path, "slow")

    assert problem(response, 504)["code"] == "deadline_exceeded"
    assert 1.0 <= loop.time() - started < 1.5


async def test_the_deadline_of_the_request_is_the_deadline_of_its_query(tmp_path: Path) -> None:
    """What is left of 0.2 s is less than the second that the edge allows."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    response = await quoted(tmp_path, "slow", within_s=0.2)

    assert response.status == 504
    assert loop.time() - started < 0.5


async def test_a_query_cannot_write(tmp_path: Path) -> None:
    """Its view of the tables is read-only in the database, not only by its type."""
    async with hosting(market(), tmp_path) as hosted:
        with pytest.raises(BadAnswer, match="GetPrice: "):
            await ask(hosted, "write", sender="stall")
        assert await hosted.table("shelf", PRICES) == []


async def test_a_service_that_does_not_declare_a_query_cannot_ask_it(tmp_path: Path) -> None:
    """Its own side refuses, and says which line to add."""
    async with hosting(market(), tmp_path) as hosted:
        response = await hosted.request("GET", "/v1/stolen/kettle")

        assert problem(response, 500)["code"] == "not_declared"


async def test_the_service_that_answers_refuses_what_the_graph_does_not_hold(
    tmp_path: Path,
) -> None:
    """Whatever the other process believes, the one that answers has its own copy of the graph."""
    async with hosting(market(), tmp_path) as hosted:
        await stocked(hosted)

        assert await ask(hosted, "kettle", sender="stall") == 1999
        with pytest.raises(Forbidden, match=r"add GetPrice to `calls=\[…\]` of Service\('idle'\)"):
            await ask(hosted, "kettle", sender="idle")
        with pytest.raises(Forbidden, match="gateway asks GetPrice"):
            await ask(hosted, "kettle", sender="gateway")


async def test_a_query_that_comes_too_late_is_not_run(tmp_path: Path) -> None:
    """Nobody waits for the answer any more."""
    async with hosting(market(), tmp_path) as hosted:
        with pytest.raises(DeadlineExceeded, match="GetPrice"):
            await ask(hosted, "slow", sender="stall", within_s=-1.0)


async def test_a_query_that_nobody_here_answers_is_unreachable(tmp_path: Path) -> None:
    """Nothing was sent, so it is safe to ask elsewhere."""
    shelf, *others = market().services
    assert shelf.name == "shelf"

    async with hosting(system(*others), tmp_path) as hosted:
        with pytest.raises(Unreachable, match="nobody in this process answers GetPrice"):
            await ask(hosted, "kettle", sender="stall")


class Deepest(Query[int]):
    """Asks the bank."""


class Middle(Query[int]):
    """Asks for the deepest."""


bank = External("bank", url="https://bank.example")
deep = Service("deep", tables=MetaData(), reaches=[bank])
middle = Service("middle", tables=MetaData(), calls=[Deepest])
top = Service("top", tables=MetaData(), calls=[Middle])


@deep.handles
async def deepest(query: Deepest, outside: Outside) -> int:
    """Ask a third party."""
    return (await outside.get(bank, "/")).status


@middle.handles
async def between(query: Middle, outside: Outside) -> int:
    """Ask another service."""
    return await outside.ask(Deepest())


@top.get("/v1/top")
async def at_the_top(outside: Outside) -> int:
    """Ask for what asks."""
    return await outside.ask(Middle())


async def test_a_chain_of_calls_is_tried_again_by_the_first_alone(tmp_path: Path) -> None:
    """Three hops that each try three times would ask the last one 27 times."""

    async def away(request: Request) -> Response:
        raise ConnectionLost("it is away")

    async with hosting(system(deep, middle, top), tmp_path, answering=away) as hosted:
        answer = await hosted.request("GET", "/v1/top")

    assert answer.status == 502
    assert len(hosted.sent) == 3
