"""Lines of users' own logging: wherever it is called, they tell for whom the code runs."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, select

from holdfast import (
    Command,
    Event,
    Failure,
    Model,
    Outside,
    Query,
    Read,
    Saga,
    Service,
    System,
    Tx,
    Undo,
)
from holdfast.testing import Running, running

mine = logging.getLogger("mine")

Message = dict[str, Any]
Scope = dict[str, Any]


class Entry(Model):
    """What is asked for."""

    name: str = "x"


class Nothing(Model):
    """What a query answers."""


class Ask(Query[Nothing]):
    """Answered at once."""


class Work(Command[None]):
    """It is done, and undone."""


class Unwork(Undo[Work]):
    """Take it back."""


class No(Failure, status=409):
    """It is refused."""


class Refuse(Command[None], fails=[No]):
    """It never goes well."""


class Break(Command[None]):
    """Its handler has a bug."""


class Happened(Event):
    """Somebody hears of it."""


metadata = MetaData()
note_table = Table("notes", metadata, Column("name", String, nullable=False))
kept = MetaData()
kept_table = Table("kept", kept, Column("name", String, nullable=False))
front = Service("front", tables=metadata, calls=[Ask, Work, Refuse, Break], publishes=[Happened])
back = Service("back", tables=kept)


@front.post("/v1/entries", status_code=202, public=True)
async def write(body: Entry, outside: Outside, tx: Tx) -> None:
    """Log before the first statement, in a thread, and in the writer's turn."""
    mine.info("route")
    await outside.ask(Ask())
    await outside.run(mine.info, "thread of route")
    tx.insert(note_table, name=body.name)
    mine.info("route after insert")
    await tx.execute(select(note_table))
    mine.info("route in turn")
    tx.publish(Happened())
    tx.start(work, body)


@front.get("/v1/entries", public=True)
async def read_all(read: Read) -> None:
    """Log in a route that only reads."""
    mine.info("reading route")
    await read.execute(select(note_table))
    mine.info("reading route after statement")


@front.post("/v1/bugs", status_code=202, public=True)
async def bug(body: Entry, tx: Tx) -> None:
    """Start what breaks, as a saga and as a letter."""
    tx.start(broken, body)
    tx.send(Break())


@front.saga
async def work(saga: Saga, entry: Entry) -> None:
    """Log in the function, in its steps, and while it is undone."""
    mine.info("saga")
    await saga.call(Work(), undo=Unwork())
    try:
        await saga.call(Refuse())
    except No:
        mine.info("saga is undone")
        await saga.undo()
        await saga.local(close, entry)


async def close(tx: Tx, entry: Entry) -> None:
    """Log in a local step."""
    mine.info("local step")
    await tx.execute(select(note_table))
    mine.info("local step after statement")


@front.saga
async def broken(saga: Saga, entry: Entry) -> None:
    """Have a bug."""
    mine.info("broken saga")
    raise RuntimeError("a bug")


@back.handles
async def answer(query: Ask, read: Read, outside: Outside) -> Nothing:
    """Log in a query."""
    mine.info("query")
    await outside.run(mine.info, "thread of query")
    await read.execute(select(kept_table))
    mine.info("query after statement")
    return Nothing()


@back.handles
async def do(command: Work, outside: Outside, tx: Tx) -> None:
    """Log in a handler."""
    mine.info("handler")
    await outside.run(mine.info, "thread of handler")
    tx.insert(kept_table, name="y")
    await tx.execute(select(kept_table))
    mine.info("handler in turn")


@back.handles
async def undo(undo: Unwork, tx: Tx) -> None:
    """Log in an undo."""
    mine.info("undo")
    await tx.execute(select(kept_table))
    mine.info("undo in turn")


@back.handles
async def refuse(command: Refuse) -> None:
    """Log before a refusal."""
    mine.info("refusal")
    raise No()


@back.handles
async def do_break(command: Break) -> None:
    """Have a bug."""
    mine.info("broken handler")
    raise RuntimeError("a bug")


@back.handles
async def hear(event: Happened) -> None:
    """Log in a handler of an event."""
    mine.info("event")


@back.every(timedelta(seconds=1))
async def sweep(outside: Outside, tx: Tx) -> None:
    """Log in a job."""
    mine.info("job")
    await outside.run(mine.info, "thread of job")
    await tx.execute(select(kept_table))
    mine.info("job in turn")


async def old(
    scope: Scope,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Log in a mounted app: when it starts, before its answer, in a transaction, and after it."""
    if scope["type"] == "lifespan":
        mine.info("app starts")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await receive()
        mine.info("app stops")
        await send({"type": "lifespan.shutdown.complete"})
        return
    mine.info("app")
    await asyncio.to_thread(mine.info, "thread of app")
    async with front.begin() as tx:
        tx.insert(note_table, name="old")
        mine.info("app in transaction")
        tx.start(work, Entry())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
    mine.info("app after its answer")


front.mount("/old", old, public=True)
diary = System("diary", services=[front, back])

OF_WORK = {
    **dict.fromkeys(("handler", "thread of handler", "handler in turn", "refusal"), "back"),
    **dict.fromkeys(("undo", "undo in turn"), "back"),
    **dict.fromkeys(("saga", "saga is undone"), "front"),
    **dict.fromkeys(("local step", "local step after statement"), "front"),
}
OF_ENTRY = OF_WORK | {
    **dict.fromkeys(("route", "thread of route", "route after insert", "route in turn"), "front"),
    **dict.fromkeys(("query", "thread of query", "query after statement", "event"), "back"),
}
OF_APP = OF_WORK | dict.fromkeys(
    ("app", "thread of app", "app in transaction", "app after its answer"), "front"
)
OF_READING = dict.fromkeys(("reading route", "reading route after statement"), "front")
OF_JOB = dict.fromkeys(("job", "thread of job", "job in turn"), "back")


def lines(run: Running) -> list[dict[str, Any]]:
    """Return what has been logged."""
    run.process.logger.flush()
    return [json.loads(line) for line in run.log.getvalue().splitlines()]


def own(run: Running, correlation: str) -> dict[str, str]:
    """Return {text: service} of the user's lines of one request; the ids of each are whole."""
    found = [line for line in lines(run) if line["event"] == "mine"]
    of_request = [line for line in found if line.get("correlation_id") == correlation]
    traces = {line["trace_id"] for line in of_request}
    assert len(traces) == 1
    assert all(len(line["span_id"]) == 16 for line in of_request)
    return {line["message"]: line["service"] for line in of_request}


async def logged(run: Running, text: str) -> None:
    """Wait for a line."""
    async with asyncio.timeout(60):
        while not any(line.get("message") == text for line in lines(run)):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("sampler", ["always_on", ""], ids=["recorded", "unrecorded"])
async def test_every_line_tells_for_whom_the_code_runs(sampler: str) -> None:
    """In all that is called for a request, before and after the first statement."""
    environ = {"OTEL_TRACES_SAMPLER": sampler} if sampler else {}
    if sampler:
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    async with running(diary, environ=environ) as run:
        client = run.client
        written = await client.post("/v1/entries", json={})
        seen = await client.get("/v1/entries")
        mounted = await client.post("/old/x")
        await run.settled()
        await logged(run, "app after its answer")

        ids = [answer.headers["x-correlation-id"] for answer in (written, seen, mounted)]
        assert [answer.status for answer in (written, seen, mounted)] == [202, 200, 200]
        assert own(run, ids[0]) == OF_ENTRY
        assert own(run, ids[1]) == OF_READING
        assert own(run, ids[2]) == OF_APP


async def test_each_run_of_a_job_has_ids_of_its_own() -> None:
    """Nobody asked for it: it begins a trace, whose id serves as the correlation id."""
    async with running(diary) as run:
        await logged(run, "job in turn")
        found = [line for line in lines(run) if line.get("message") in OF_JOB]

    first = [line for line in found if line["trace_id"] == found[0]["trace_id"]]
    assert {line["message"]: line["service"] for line in first} == OF_JOB
    assert {line["correlation_id"] for line in first} == {found[0]["trace_id"]}


async def test_lines_of_a_start_and_a_stop_tell_whose_it_is() -> None:
    """A mounted app's lifespan belongs to its service, and to no request."""
    async with running(diary) as run:
        await run.client.post("/old/x")

    found = {line["message"]: line for line in lines(run) if line["event"] == "mine"}
    for text in ("app starts", "app stops"):
        assert found[text]["service"] == "front"
        assert "trace_id" not in found[text]


async def test_what_broke_is_found_by_the_request_that_it_goes_back_to() -> None:
    """Also where the line is written after the commit, by a task that serves everybody."""
    async with running(diary) as run:
        asked = await asyncio.gather(*(run.client.post("/v1/bugs", json={}) for _ in range(3)))
        async with asyncio.timeout(60):
            while {len(of_event(run, event)) for event in ("saga.parked", "letter.failed")} != {3}:
                await asyncio.sleep(0.01)
        requests = of_event(run, "request")
        parked, failed = of_event(run, "saga.parked"), of_event(run, "letter.failed")

    traces = {line["correlation_id"]: line["trace_id"] for line in requests}
    assert set(traces) == {answer.headers["x-correlation-id"] for answer in asked}
    assert {line["correlation_id"]: line["trace_id"] for line in parked} == traces
    assert {line["correlation_id"]: line["trace_id"] for line in failed} == traces
    assert {line["service"] for line in parked} == {"front"}
    assert {line["service"] for line in failed} == {"back"}


def of_event(run: Running, event: str) -> list[dict[str, Any]]:
    """Return the lines of one event."""
    return [line for line in lines(run) if line["event"] == event]
