"""One value that JSON has no form for goes over every carrier, and arrives as it was given."""

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from holdfast import (
    Command,
    Event,
    Failure,
    Field,
    Model,
    Outside,
    Query,
    Saga,
    Service,
    System,
    Tx,
    Undo,
)
from holdfast.contract.carrier import carrier_of
from holdfast.contract.difference import first_difference
from holdfast.errors import NotCarried
from holdfast.testing import running


class Odd(Model):
    """What is easily lost on the way."""

    raw: bytes = b"\xff\x00"
    limit: float = float("-inf")
    price: Decimal = Decimal("1.100")
    given_name: str = Field("Ada", alias="givenName")
    span: timedelta = timedelta(days=-1, microseconds=1)
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    kinds: frozenset[int] = frozenset({1, 2})
    pair: tuple[int, str] = (1, "a")


class NoWay(Failure):
    """Refused, with odd fields."""

    odd: Odd


class Do(Command[Odd], fails=[NoWay]):
    """A command whose reply and failure are odd too."""

    odd: Odd
    refused: bool = False


class TakeBack(Undo[Do]):
    """Its undo."""

    odd: Odd


class Happened(Event, topic="what"):
    """An event that a saga waits for."""

    what: str
    odd: Odd


class Ask(Query[Odd], fails=[NoWay]):
    """A query."""

    odd: Odd
    refused: bool = False


class Begin(Model):
    """A saga's input."""

    odd: Odd
    again: bool = True


class Wrong(Command[None]):
    """A message that anything fits into."""

    content: Any = None


ODD = Odd()
GOT: dict[str, list[Odd]] = {}
front = Service("front", calls=[Do, Ask, Wrong], publishes=[])
back = Service("back", publishes=[Happened])


def got(carrier: str, odd: Odd) -> None:
    """Note what arrived."""
    GOT.setdefault(carrier, []).append(odd)


@back.handles
async def do(command: Do, tx: Tx) -> Odd:
    got("command", command.odd)
    if command.refused:
        raise NoWay(odd=command.odd)
    tx.publish(Happened(what="x", odd=command.odd))
    return command.odd


@back.handles
async def take_back(undo: TakeBack) -> None:
    got("undo", undo.odd)


@back.handles
async def ask(query: Ask) -> Odd:
    got("query", query.odd)
    if query.refused:
        raise NoWay(odd=query.odd)
    return query.odd


@back.handles
async def wrong(command: Wrong) -> None: ...


@front.handles
async def happened(event: Happened) -> None:
    got("event", event.odd)


async def look(tx: Tx, odd: Odd) -> Odd:
    got("local argument", odd)
    return odd


async def refuse(tx: Tx, odd: Odd) -> None:
    raise NoWay(odd=odd)


@front.saga(waits=[Happened])
async def journey(saga: Saga, input: Begin) -> None:
    got("saga input", input.odd)
    if input.again:
        await saga.restart(Begin(odd=input.odd, again=False))
    got("restart", input.odd)
    got("local result", await saga.local(look, input.odd))
    try:
        await saga.local(refuse, input.odd)
    except NoWay as no:
        got("local failure", no.odd)
    got("step value", await saga.call(Do(odd=input.odd), undo=TakeBack(odd=input.odd)))
    event = await saga.wait(Happened, "x", timeout=timedelta(minutes=1))
    assert event is not None
    got("waited event", event.odd)
    try:
        await saga.call(Do(odd=input.odd, refused=True))
    except NoWay as no:
        got("failure", no.odd)
    await saga.undo()


@front.post("/v1/journeys", public=True)
async def start(outside: Outside, tx: Tx) -> Odd:
    got("answer", await outside.ask(Ask(odd=ODD)))
    try:
        await outside.ask(Ask(odd=ODD, refused=True))
    except NoWay as no:
        got("query's failure", no.odd)
    tx.start(journey, Begin(odd=ODD))
    return ODD


@front.post("/v1/wrong/{how}", public=True)
async def send_wrong(how: str, outside: Outside, tx: Tx) -> str:
    bad = Odd.model_construct(limit="no number")
    acts: dict[str, Any] = {
        "send": lambda: tx.send(Wrong(content=NOON)),
        "start": lambda: tx.start(journey, Begin.model_construct(odd=bad, again=True)),
        "ask": lambda: outside.ask(Ask.model_construct(odd=bad, refused=False)),
    }
    try:
        done = acts[how]()
        if isinstance(done, Coroutine):
            await done
    except NotCarried as refused:
        return str(refused)
    return "taken"


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CARRIERS = (
    "command",
    "undo",
    "query",
    "event",
    "local argument",
    "saga input",
    "restart",
    "local result",
    "local failure",
    "step value",
    "waited event",
    "failure",
    "answer",
    "query's failure",
)


async def test_every_carrier_brings_what_was_given() -> None:
    """A recorded response is replayed byte by byte."""
    GOT.clear()
    async with running(System("case", services=[front, back])) as here:
        key = {"Idempotency-Key": "k"}
        first = await here.client.post("/v1/journeys", headers=key)
        again = await here.client.post("/v1/journeys", headers=key)
        await here.settled()

    assert first.status == again.status == 200
    assert first.body == again.body
    assert b'"givenName":"Ada"' in first.body
    assert set(GOT) == set(CARRIERS)
    for carrier, odds in GOT.items():
        assert [first_difference(ODD, odd, carrier) for odd in odds] == [None] * len(odds)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("send", "Wrong.content is datetime.datetime(2026, 1, 1, 12"),
        ("ask", "Ask.odd.limit: who gets it would refuse it"),
    ],
)
async def test_what_cannot_arrive_is_refused_at_the_line_that_sends(how: str, said: str) -> None:
    """The handler can catch it; nothing of it was written."""
    async with running(System("case", services=[front, back])) as here:
        answer = await here.client.post(f"/v1/wrong/{how}")
        await here.settled()

    assert said in answer.json()


async def test_a_saga_is_not_started_with_what_cannot_arrive() -> None:
    """The request fails before the commit."""
    GOT.clear()
    async with running(System("case", services=[front, back])) as here:
        answer = await here.client.post("/v1/wrong/start")
        await here.settled()

    assert answer.status == 500
    assert GOT == {}


def test_the_value_is_one_that_json_has_no_form_for() -> None:
    """So that the tests above can fail: half of its fields travel as texts."""
    body = carrier_of(Odd).encode(ODD)

    assert body.startswith(b'{"raw":"_wA=","limit":"-Infinity","price":"1.100","given_name"')
