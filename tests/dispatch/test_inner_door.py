"""Calls between processes of one system: what one asks and the other's inner door answers."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import MetaData

from holdfast import Caller, Failure, Field, Model, Outside, Query, Read, Service
from holdfast.contract.cause import NO_CAUSE, SUBJECT_CHARS_MAX
from holdfast.contract.difference import first_difference
from holdfast.contract.http import Request, Response
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.dispatch.inner_headers import (
    ASK,
    CALLER,
    DEADLINE,
    ORIGIN,
    SUBJECT,
    cause_of,
    entry_headers,
)
from holdfast.dispatch.queries import QueriesHere
from holdfast.dispatch.query_client import QueryClient
from holdfast.errors import (
    BadAnswer,
    BadRequest,
    CallError,
    DeadlineExceeded,
    PoolFull,
    Unreachable,
)
from holdfast.gateway.headers import forwarded_headers
from holdfast.observability import Tracer
from tests.dispatch.hosting import hosting as hosting_services
from tests.dispatch.hosting import system


class NoRate(Failure, status=409):
    """There is none for that currency."""

    currency: str


class Rate(Query[float], fails=[NoRate]):
    """Ask for a rate."""

    currency: str


class Odd(Model):
    """What JSON has no form for, and what HTTP calls otherwise."""

    raw: bytes = b"\xff\x00"
    limit: float = float("inf")
    price: Decimal = Decimal("1.100")
    given_name: str = Field("Ada", alias="givenName")


class TooOdd(Failure):
    """A refusal with such a field."""

    odd: Odd


class Echo(Query[Odd], fails=[TooOdd]):
    """Ask for what was sent."""

    odd: Odd
    refused: bool = False


class Slow(Query[int]):
    """Ask for what takes long."""


class Broken(Query[int]):
    """Ask for what does not work."""


money = Service("money", tables=MetaData())
shop = Service("shop", tables=MetaData(), calls=[Rate, Echo, Slow, Broken])
SYSTEM = system(money, shop)


@money.handles
async def rate(query: Rate, read: Read) -> float:
    """Answer for euros only."""
    if query.currency != "EUR":
        raise NoRate(currency=query.currency)
    return 1.5


@money.handles
async def echo(query: Echo) -> Odd:
    """Answer with what came."""
    assert first_difference(Odd(), query.odd, "odd") is None
    if query.refused:
        raise TooOdd(odd=query.odd)
    return query.odd


@money.handles
async def slow(query: Slow, read: Read) -> int:
    """Take long."""
    await asyncio.sleep(60)
    return 1


@money.handles
async def broken(query: Broken, read: Read) -> int:
    """Have a bug."""
    raise LookupError("a bug")


@money.get("/v1/me")
async def me(caller: Caller) -> str:
    """Say who asks."""
    return caller.subject + ":" + ",".join(sorted(caller.scopes))


@shop.get("/v1/rate")
async def rate_of(outside: Outside) -> float:
    """Ask."""
    return await outside.ask(Rate(currency="EUR"))


Send = Callable[[str, Request, float], Awaitable[Response]]


@asynccontextmanager
async def two_processes(
    folder: Path, way: Callable[[Response], Response] = lambda response: response
) -> AsyncIterator[tuple[QueryClient, InnerDoor, list[Request]]]:
    """Yield what one process asks with, the other's door, and the requests between them."""
    sent: list[Request] = []
    async with hosting_services(SYSTEM, folder) as hosted:
        door = InnerDoor(hosted.router, hosted.asks, Tracer(random.Random(1), ratio=0.0))

        async def call(service: str, request: Request, timeout_s: float) -> Response:
            assert service == "money"
            sent.append(request)
            return way(await door(request))

        yield QueryClient(QueriesHere(), SYSTEM.owner_of, call), door, sent


async def ask(
    asks: QueryClient, query: Query[Any], *, within_s: float = 1.0, sender: str = "shop"
) -> Any:
    """Ask as a service does."""
    deadline = asyncio.get_running_loop().time() + within_s
    return await asks.ask(query, sender=sender, deadline=deadline, cause=NO_CAUSE)


async def test_a_query_is_answered_by_another_process(tmp_path: Path) -> None:
    """Its reply, or the failure that it declares, with its fields."""
    async with two_processes(tmp_path) as (asks, _, sent):
        assert await ask(asks, Rate(currency="EUR")) == 1.5
        with pytest.raises(NoRate) as failed:
            await ask(asks, Rate(currency="XXX"))

    assert failed.value.currency == "XXX"
    assert sent[0].path == "/-/ask/shop/Rate.v1"
    assert int(sent[0].header(DEADLINE) or 0) == pytest.approx(1_000, abs=5)


async def test_the_deadline_travels(tmp_path: Path) -> None:
    """The other side stops when nobody waits any more, and says so."""
    async with two_processes(tmp_path) as (asks, _, _):
        before = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await ask(asks, Slow(), within_s=0.5)
        assert asyncio.get_running_loop().time() - before == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("query", "sender", "error", "told"),
    [
        (Broken(), "shop", BadAnswer, "Broken: a service that this needs did not answer"),
        (Rate(currency="EUR"), "thief", BadAnswer, "thief asks Rate without declaring it"),
    ],
)
async def test_what_goes_wrong_there_is_told_here(
    tmp_path: Path, query: Query[Any], sender: str, error: type[CallError], told: str
) -> None:
    """A bug is a bad answer; and whoever is not declared is refused there, not here."""
    async with two_processes(tmp_path) as (asks, _, _):
        with pytest.raises(error, match=told):
            await ask(asks, query, sender=sender)


@pytest.mark.parametrize(
    "garbled",
    [
        Response(200, [], b"not a number"),
        Response(500, [], b"<html>"),
        Response(409, [], b'{"code": "unheard_of", "failure": {}}'),
    ],
)
async def test_a_garbled_answer_is_a_bad_answer(tmp_path: Path, garbled: Response) -> None:
    """Whatever stands between may answer anything."""
    async with two_processes(tmp_path, lambda response: garbled) as (asks, _, _):
        with pytest.raises(BadAnswer):
            await ask(asks, Rate(currency="EUR"))


async def test_a_full_pool_over_there_is_told_as_that(tmp_path: Path) -> None:
    """The asker's breaker must not take a service for ill that is only busy with one thing."""

    def busy(response: Response) -> Response:
        problem = msgspec.json.encode({"code": "pool_full", "detail": "the pool x is busy"})
        return Response(503, [(b"retry-after", b"7")], problem)

    async with two_processes(tmp_path, busy) as (asks, _, _):
        with pytest.raises(PoolFull, match="the pool x is busy") as full:
            await ask(asks, Rate(currency="EUR"))

    assert full.value.headers == {"Retry-After": "7"}


async def test_who_was_authenticated_travels_to_the_route(tmp_path: Path) -> None:
    """The gateway's word, in a header that it strips from what comes in."""
    async with two_processes(tmp_path) as (_, door, _):
        ada = Caller("ada", frozenset({"read", "write"}))
        told = entry_headers(
            Request("GET", "/v1/me", caller=ada, client="192.0.2.1", scheme="https"),
            1.0,
            NO_CAUSE,
        )
        request = Request("GET", "/v1/me", "", [(b"accept", b"a/b"), *told], b"")
        served = await door(request)
        nobody = await door(Request("GET", "/v1/unknown", "", told, b""))

    assert CALLER in dict(told)
    assert (request.client, request.headers) == ("192.0.2.1", [(b"accept", b"a/b")])
    assert (served.status, msgspec.json.decode(served.body)) == (200, "ada:read,write")
    assert nobody.status == 404


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/-/ask/shop/Rate.v1", [], b'{"currency": "EUR"}', 403),
        ("/-/ask/shop/Other.v1", [(DEADLINE, b"100")], b"{}", 404),
        ("/-/ask/shop/Rate.v1", [(DEADLINE, b"100")], b"{", 400),
        ("/-/ask/shop/Rate.v1", [(DEADLINE, b"100")], b'{"currency": 1}', 422),
        ("/-/ask/shop/Rate.v1", [(DEADLINE, b"soon")], b'{"currency": "EUR"}', 403),
        ("/v1/me", [(CALLER, b"ada")], b"", 400),
    ],
)
async def test_a_wrong_call_is_answered_not_raised(
    tmp_path: Path, path: str, headers: list[tuple[bytes, bytes]], body: bytes, status: int
) -> None:
    """Each says what is missing."""
    method = "POST" if path.startswith("/-/") else "GET"
    async with two_processes(tmp_path) as (_, door, _):
        ask = [*headers, (ASK, b"1")] if method == "POST" else headers
        assert (await door(Request(method, path, "", ask, body))).status == status


async def test_a_client_cannot_ask_through_the_gateway(tmp_path: Path) -> None:
    """Whatever the path: a query has a header that the gateway lets nobody bring in."""
    async with two_processes(tmp_path) as (_, door, _):
        request = Request("POST", "/-/ask/shop/Rate.v1", "", [(DEADLINE, b"100")], b'{"x": 1}')
        refused = await door(request)

    assert refused.status == 404
    assert forwarded_headers([(ASK, b"1"), (CALLER, b"{}"), (ORIGIN, b"{}")]) == []


async def test_a_newer_process_may_ask_with_more(tmp_path: Path) -> None:
    """Fields that this one does not know are no error between releases."""
    body = b'{"currency": "EUR", "precision": 4}'
    async with two_processes(tmp_path) as (_, door, _):
        path, headers = "/-/ask/shop/Rate.v1", [(DEADLINE, b"100"), (ASK, b"1")]
        assert (await door(Request("POST", path, "", headers, body))).body == b"1.5"


async def test_a_query_ends_with_its_asker(tmp_path: Path) -> None:
    """Nobody waits for the reply, and a query writes nothing."""
    async with two_processes(tmp_path) as (_, door, _):
        headers = [(DEADLINE, b"60000"), (ASK, b"1")]
        request = Request("POST", "/-/ask/shop/Slow.v1", "", headers, b"{}")
        asyncio.get_running_loop().call_later(1.0, request.leave)
        before = asyncio.get_running_loop().time()
        answer = await door(request)
        took_s = asyncio.get_running_loop().time() - before

    assert (answer.status, took_s) == (499, pytest.approx(1.0, abs=0.01))


async def test_nobody_answers_a_query_of_another_system(tmp_path: Path) -> None:
    """It is unreachable, and nothing is sent."""

    class Foreign(Query[int]):
        """Nobody declares it."""

    async with two_processes(tmp_path) as (asks, _, sent):
        with pytest.raises(Unreachable, match="nobody answers Foreign"):
            await ask(asks, Foreign())
    assert sent == []


async def test_where_a_request_came_from_travels(tmp_path: Path) -> None:
    """A service elsewhere sees the client, the scheme and the host that the gateway saw."""
    outer = Request("GET", "/v1/me", "", [(b"host", b"shop.example")], client="203.0.113.9")
    outer.scheme = "https"
    inner = Request(
        "GET", "/v1/me", "", [(b"host", b"money:8000"), *entry_headers(outer, 1.0, NO_CAUSE)]
    )
    async with two_processes(tmp_path) as (_, door, _):
        await door(inner)

    assert (inner.client, inner.scheme) == ("203.0.113.9", "https")
    assert inner.headers == [(b"host", b"shop.example")]


@pytest.mark.parametrize(
    "header",
    [
        (CALLER, b'{"subject":"a\\u0000b","scopes":[]}'),
        (CALLER, b'{"subject":7,"scopes":[]}'),
        (ORIGIN, b'{"client":1}'),
        (ORIGIN, b"\xff"),
    ],
)
async def test_an_inner_header_that_cannot_be_read_is_refused(
    tmp_path: Path, header: tuple[bytes, bytes]
) -> None:
    """It is the sender's mistake, and no bug of the service."""
    async with two_processes(tmp_path) as (_, door, _):
        answer = await door(Request("GET", "/v1/me", "", [header]))

    assert answer.status == 400


async def test_what_crosses_to_another_process_arrives_as_it_was_given(tmp_path: Path) -> None:
    """A query, its answer, and its failure."""
    async with two_processes(tmp_path) as (asks, _, _):
        reply = await ask(asks, Echo(odd=Odd()))
        with pytest.raises(TooOdd) as refused:
            await ask(asks, Echo(odd=Odd(), refused=True))

    assert first_difference(Odd(), reply, "reply") is None
    assert first_difference(Odd(), refused.value.odd, "failure") is None


def test_a_subject_may_be_so_long() -> None:
    """To the character; who asks with a longer one is none of ours."""
    most = "s" * SUBJECT_CHARS_MAX

    def asked_for(subject: str) -> str:
        told = msgspec.json.encode(subject)
        return cause_of(Request("POST", "/-/ask/x/Y.v1", headers=[(SUBJECT, told)])).subject

    assert asked_for(most) == most
    with pytest.raises(BadRequest, match="names nobody"):
        asked_for(most + "s")
