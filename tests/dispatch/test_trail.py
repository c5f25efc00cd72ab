"""The trail of letters and sagas: what carries a trace on, what links back, what leaves none."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table, Uuid

from holdfast import Command, Failure, Model, Saga, Service, System, Tx
from holdfast.contract.envelope import Letter, SagaInput, State
from holdfast.errors import BadAnswer
from holdfast.observability import Context, Spans, current
from holdfast.observability.span import SpanRecord, error_type, try_id
from holdfast.storage import SagaFilter
from tests.dispatch.hosting import Hosted, hosting, system
from tests.virtual_loop import LoopClock

STOCK = MetaData()
TAKEN = Table("taken", STOCK, Column("id", Uuid, primary_key=True))
ORDERS = MetaData()
LINE = Table(
    "line",
    ORDERS,
    Column("id", Uuid, primary_key=True),
    Column("of", ForeignKey("line.id", deferrable=True, initially="DEFERRED")),
)
TRACE = "a" * 32


class SoldOut(Failure):
    """There is none."""


class Take(Command[None]):
    """Take one."""


class GiveBack(Command[None]):
    """Undo it."""


class Refuse(Command[None], fails=[SoldOut]):
    """What is always refused."""


class Wish(Model):
    """What a saga is started with."""


async def buy(saga: Saga, wish: Wish) -> None:
    """Take one, and another one a minute later."""
    await saga.call(Take())
    await saga.sleep(timedelta(minutes=1))
    await saga.call(Take())


async def lose(saga: Saga, wish: Wish) -> None:
    """Take one, and give it back."""
    try:
        await saga.call(Take(), undo=GiveBack())
        await saga.call(Refuse())
    except Failure:
        await saga.undo()


def shop(
    failing: int = 0,
    ticked: Callable[[str], None] | None = None,
    error: Exception = RuntimeError("the shelf fell"),  # noqa: B008
) -> System:
    """Return a system; the first so many tries to take fail, `ticked` is told a tick's trace."""
    orders = Service("orders", tables=ORDERS, calls=[Take, GiveBack, Refuse])
    stock = Service("stock", tables=STOCK, calls=[])
    left = [failing]
    orders.saga(buy)
    orders.saga(lose)

    @orders.post("/v1/take")
    async def take_one(tx: Tx) -> None:
        tx.send(Take())

    @orders.post("/v1/broken")
    async def broken(tx: Tx) -> None:
        tx.send(Take())
        tx.insert(LINE, id=tx.new_id(), of=tx.new_id())  # found out when all is written

    @orders.post("/v1/buy")
    async def start_buy(tx: Tx) -> None:
        tx.start(buy, Wish())

    @orders.post("/v1/lose")
    async def start_lose(tx: Tx) -> None:
        tx.start(lose, Wish())

    @stock.handles
    async def take(command: Take, tx: Tx) -> None:
        tx.insert(TAKEN, id=tx.new_id())
        if left[0]:
            left[0] -= 1
            raise error

    @stock.handles
    async def give_back(command: GiveBack, tx: Tx) -> None:
        tx.insert(TAKEN, id=tx.new_id())

    @stock.handles
    async def refuse(command: Refuse, tx: Tx) -> None:
        raise SoldOut()

    if ticked is not None:

        @orders.every(timedelta(minutes=1))
        async def remind(tx: Tx) -> None:
            ticked(current.get().trace_id)
            tx.send(Take())

    return system(orders, stock)


def caused(*, sampled: bool = True) -> None:
    """Let what follows be asked for by a request with a trace."""
    current.set(
        Context("c-1", TRACE, "b" * 16, sampled, "gateway", tracestate="a=1", baggage="tenant=x")
    )


def by_name(spans: Spans) -> dict[str, list[SpanRecord]]:
    """Return the spans that are exported, by name, in the order of their ends."""
    found: dict[str, list[SpanRecord]] = {}
    for record in spans.take(10_000):
        found.setdefault(record.sort.name, []).append(record)
    return found


async def letters(hosted: Hosted) -> list[Letter]:
    """Return the letters that orders has sent, as they are stored."""
    rows = await hosted.rows("orders", *State)
    found = [row for row in rows if row.kind.value == "command"]
    return [msgspec.json.decode(row.body, type=Letter) for row in found]


async def test_letters_carry_what_came_with_the_trace(tmp_path: Path) -> None:
    """In the row itself, so that it outlives the process; the send is the parent of the work."""
    spans = Spans(LoopClock())
    async with hosting(shop(), tmp_path, spans=spans) as hosted:
        caused()
        await hosted.post("/v1/take")
        (letter,) = await letters(hosted)
        await asyncio.sleep(5.0)
        found = by_name(spans)

    (send,), (process,) = found["send stock.Take.v1"], found["process stock.Take.v1"]
    assert letter.trace == send.context.traceparent
    assert (letter.tracestate, letter.baggage) == ("a=1", "tenant=x")
    assert process.context.parent_id == send.context.span_id
    assert process.context.span_id == try_id(letter.id, 1)
    assert (process.context.tracestate, process.context.baggage) == ("a=1", "tenant=x")
    assert {r.context.trace_id for records in found.values() for r in records} == {TRACE}
    assert process.links == ()


@pytest.mark.parametrize("error", [RuntimeError("the shelf fell"), BadAnswer("it answered 503")])
async def test_a_second_try_links_the_first(tmp_path: Path, error: Exception) -> None:
    """Each is a span of its own below the send, also where an outage gave the try back."""
    spans = Spans(LoopClock())
    async with hosting(shop(failing=2, error=error), tmp_path, spans=spans) as hosted:
        caused()
        await hosted.post("/v1/take")
        (letter,) = await letters(hosted)
        await asyncio.sleep(60.0)
        tries = by_name(spans)["process stock.Take.v1"]

    first, *others = tries
    assert first.context.span_id == try_id(letter.id, 1)
    assert len({one.context.span_id for one in tries}) == 3
    assert [dict(one.attributes).get("holdfast.try") for one in tries] == [None, 2, 3]
    assert len({one.context.parent_id for one in tries}) == 1
    assert first.links == ()
    for one in others:
        assert [link.span_id for link in one.links] == [first.context.span_id]
    assert [one.error for one in tries] == [error_type(error), error_type(error), ""]


async def test_what_was_rolled_back_has_sent_nothing(tmp_path: Path) -> None:
    """The route's span has the answer; the letter is not there, and neither is its span."""
    spans = Spans(LoopClock())
    async with hosting(shop(), tmp_path, spans=spans) as hosted:
        caused()
        answer = await hosted.post("/v1/broken")
        found = by_name(spans)

    assert answer.status == 409
    assert set(found) == {"POST /v1/broken"}
    assert found["POST /v1/broken"][0].values == (409,)


async def test_a_tick_begins_a_trace(tmp_path: Path) -> None:
    """Each its own, that no request is in; its letters belong to it."""
    spans, ticks = Spans(LoopClock()), list[str]()

    def ticked(trace: str) -> None:
        ticks.append(trace)
        spans.keep(trace)

    async with hosting(shop(ticked=ticked), tmp_path, spans=spans):
        await asyncio.sleep(150.0)
        found = by_name(spans)

    (jobs,) = [records for name, records in found.items() if name.startswith("job ")]
    assert len(set(ticks)) == len(ticks) == 3
    assert [job.context.trace_id for job in jobs] == ticks
    assert {job.context.parent_id for job in jobs} == {""}
    sends = found["send stock.Take.v1"]
    assert [send.context.parent_id for send in sends] == [job.context.span_id for job in jobs]


async def test_what_a_timer_lets_go_on_links_what_set_it(tmp_path: Path) -> None:
    """A minute, or a month, is a link, not an open span."""
    spans = Spans(LoopClock())
    async with hosting(shop(), tmp_path, spans=spans) as hosted:
        caused()
        await hosted.post("/v1/buy")
        await asyncio.sleep(90.0)
        advances = by_name(spans)["saga buy"]

    begun, asleep, awake, _ended = advances
    assert awake.begun - asleep.ended > 55.0
    assert [link.span_id for link in awake.links] == [asleep.context.span_id]
    assert all(one.ended - one.begun < 10.0 for one in advances)
    assert {one.context.trace_id for one in advances} == {TRACE}
    assert begun.links == ()


@pytest.mark.parametrize("sampled", [False, True])
async def test_the_trace_of_an_undone_saga_is_kept_from_then_on(
    tmp_path: Path, sampled: bool
) -> None:
    """The row says so, through all later advances; what others do for it is sampled as well."""
    spans = Spans(LoopClock())
    async with hosting(shop(), tmp_path, spans=spans) as hosted:
        caused(sampled=sampled)
        await hosted.post("/v1/lose")
        await asyncio.sleep(60.0)
        (row,) = await hosted.hosts["orders"].ledger.database.sagas(SagaFilter())
        found = by_name(spans)

    stored = msgspec.json.decode(row.input, type=SagaInput)
    assert stored.trace.startswith(f"00-{TRACE}-")
    assert stored.trace.endswith("-01")
    assert (stored.tracestate, stored.baggage) == ("a=1", "tenant=x")
    (undo,) = found["process stock.GiveBack.v1"]
    assert undo.context.sampled
    assert len(found["process stock.Take.v1"]) == 1  # of before it was known
    assert len(found["saga lose"]) >= 3


async def test_the_trace_of_a_saga_that_goes_well_is_as_it_was(tmp_path: Path) -> None:
    """Not sampled, and nothing of it is exported."""
    spans = Spans(LoopClock())
    async with hosting(shop(), tmp_path, spans=spans) as hosted:
        caused(sampled=False)
        await hosted.post("/v1/buy")
        await asyncio.sleep(90.0)
        (row,) = await hosted.hosts["orders"].ledger.database.sagas(SagaFilter())

    assert msgspec.json.decode(row.input, type=SagaInput).trace.endswith("-00")
    assert spans.take(10_000) == []
    assert spans.stats().held > 0
