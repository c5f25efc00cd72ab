"""One run of a system that is not the shop: its waits, its workload, and what never ran in it."""

import asyncio
import dataclasses
import gc
import re
import secrets
import weakref
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Column, MetaData, String, Table, select

from holdfast import Command, Event, Failure, Model, Saga, Service, System, Tx, Undo
from holdfast.errors import DeclarationError, NotSimulated
from holdfast.simulation import Answer, BrokenWorkload, Client, Outcome, Setup, World, run
from holdfast.simulation.faults import AnyFault, Crash
from holdfast.simulation.timeline import timeline

DAYS = timedelta(days=3)


class Taken(Failure, status=409):
    """Somebody else has it."""


class Broken(Failure, status=409):
    """It cannot be lent."""


class PickedUp(Event, topic="loan"):
    """A member came for the copy."""

    loan: str


class Reserve(Command[None], fails=[Taken, Broken]):
    """Put the copy aside."""

    loan: str


class Release(Undo[Reserve]):
    """Put it back."""

    loan: str


class Loan(Model):
    """Who wants it."""

    id: str


def tables(*names: str) -> tuple[MetaData, list[Table]]:
    """Return tables with a key and a state."""
    metadata = MetaData()
    columns = [
        (Column("id", String, primary_key=True), Column("state", String, nullable=False))
        for _ in names
    ]
    return metadata, [Table(n, metadata, *c) for n, c in zip(names, columns, strict=True)]


shelf_tables, (copy,) = tables("copy")
desk_tables, (loan,) = tables("loan")


def library() -> System:
    """Return a library whose members have three days to come."""
    shelf = Service("shelf", tables=shelf_tables)
    desk = Service("desk", tables=desk_tables, calls=[Reserve], publishes=[PickedUp])

    @shelf.handles
    async def reserve(command: Reserve, tx: Tx) -> None:
        tx.insert(copy, id=command.loan, state="reserved")

    @shelf.handles
    async def release(undo: Release, tx: Tx) -> None:
        tx.update(copy, undo.loan, state="back")

    @desk.post("/v1/loans", status_code=202, public=True)
    async def lend(body: Loan, tx: Tx) -> None:
        if (await tx.execute(select(loan).where(loan.c.id == body.id))).first():
            raise Taken
        tx.insert(loan, id=body.id, state="waiting")
        tx.start(lending, body)

    @desk.put("/v1/loans", public=True)
    async def pick_up(body: Loan, tx: Tx) -> None:
        tx.publish(PickedUp(loan=body.id))

    @desk.delete("/v1/loans/{id}", public=True)
    async def forget(id: str, tx: Tx) -> None:
        tx.update(loan, id, state="forgotten")

    @desk.saga(waits=[PickedUp])
    async def lending(saga: Saga, wanted: Loan) -> None:
        await saga.call(Reserve(loan=wanted.id), undo=Release(loan=wanted.id))
        if await saga.wait(PickedUp, wanted.id, timeout=DAYS) is None:
            await saga.undo()
            await saga.local(note, wanted.id, "expired")
        else:
            await saga.local(note, wanted.id, "lent")

    async def note(tx: Tx, id: str, state: str) -> None:
        tx.update(loan, id, state=state)

    return System("library", services=[desk, shelf])


def states(world: World) -> dict[str, str]:
    """Return {loan: its state}."""
    return {row.id: row.state for row in world.rows("desk", select(loan))}


def played(system: System, faults: list[AnyFault] | None = None) -> Outcome:
    """Run one seed; without faults unless they are given."""
    return run(system, 1, Setup(size=2), faults or [])


def test_waits_of_people_settle() -> None:
    """Three days pass at once, though a node dies on the way, and nothing is taken for stuck."""
    system, seen = library(), dict[str, str]()

    @system.workload
    async def members(client: Client) -> None:
        for name in ("comes", "stays-away"):
            await client.post("/v1/loans", json={"id": name}, key=name)
        await client.put("/v1/loans", json={"id": "comes"}, key="pick-up")

    @system.invariant
    def everybody_knows(world: World) -> None:
        seen.update(states(world))

    outcome = played(system, [Crash(node="desk-1", at_s=1.0, for_s=2.0)])

    assert outcome.violations == []
    assert seen == {"comes": "lent", "stays-away": "expired"}
    assert outcome.virtual_s > DAYS.total_seconds()
    assert outcome.callbacks < 100_000, "the nodes were idle for days"


def test_a_workload_may_sleep_for_days_within_its_horizon() -> None:
    """Somebody who comes on the second day is in time; on the fourth he is late."""
    system, seen = library(), dict[str, str]()

    async def member(client: Client, name: str, days: float) -> None:
        await client.post("/v1/loans", json={"id": name}, key=name)
        await client.sleep(days * 86_400)
        await client.put("/v1/loans", json={"id": name}, key=f"{name} comes")

    @system.workload(horizon=timedelta(days=9))
    async def members(client: Client) -> None:
        await member(client, "early", 2)
        await member(client, "late", 4)

    @system.invariant
    def everybody_knows(world: World) -> None:
        seen.update(states(world))

    outcome = played(system)

    assert outcome.violations == []
    assert seen == {"early": "lent", "late": "expired"}
    assert 6 * 86_400 < outcome.virtual_s < 6.2 * 86_400
    assert outcome.callbacks < 100_000


def test_a_workload_beyond_its_horizon_is_stuck() -> None:
    """The violation says how it gets more time."""
    system = library()

    @system.workload
    async def sleeper(client: Client) -> None:
        await client.sleep(2 * 86_400)

    [violation] = played(system).violations

    assert str(violation).startswith("the workload ends: it was not through after 3600 s; `@work")


def test_a_horizon_is_some_time() -> None:
    """None at all is refused where it is written."""
    with pytest.raises(DeclarationError, match="raise it over 0"):
        library().workload(horizon=timedelta(0))


def test_a_domains_409_is_an_answer() -> None:
    """It is not sent again as if the key were under way; every method is there."""
    system = library()
    statuses: list[int] = []

    @system.workload
    async def members(client: Client) -> None:
        one: dict[str, Any] = {"id": "one"}
        statuses.append((await client.post("/v1/loans", json=one, key="first")).status)
        began = client.now()
        statuses.append((await client.post("/v1/loans", json=one, key="second")).status)
        assert client.now() - began < 5
        statuses.append((await client.put("/v1/loans", json=one, key="third")).status)
        statuses.append((await client.delete("/v1/loans/one", key="fourth")).status)
        statuses.append((await client.patch("/v1/loans", json=one, key="fifth")).status)

    assert played(system).violations == []
    assert statuses == [202, 409, 200, 204, 405]


@pytest.mark.parametrize("grouped", [False, True])
def test_a_broken_workload_stops_at_once_with_its_line(grouped: bool) -> None:
    """A typo in it is nobody's violation, and no seed is worth running."""
    system = library()

    async def look(answer: Answer) -> None:
        print(dataclasses.asdict(answer)["number"])  # a typo

    @system.workload
    async def members(client: Client) -> None:
        answer = await client.post("/v1/loans", json={"id": "one"}, key="first")
        if not grouped:
            await look(answer)
        async with asyncio.TaskGroup() as group:
            group.create_task(look(answer))

    with pytest.raises(BrokenWorkload, match=r"raised KeyError: .*test_run\.py:\d+\), with seed 1"):
        played(system)


@pytest.mark.parametrize("reads_on", [False, True])
def test_what_a_seed_does_not_decide_ends_the_run_with_its_line(reads_on: bool) -> None:
    """Even where only a 500 comes of it, and where the workload then breaks over that."""
    service = Service("desk")

    @service.get("/v1/guess", public=True)
    async def guess() -> str:
        return secrets.token_hex(4)

    system = System("guesses", services=[service])

    @system.workload
    async def guesser(client: Client) -> None:
        answer = await client.get("/v1/guess")
        if reads_on:
            answer.json()["word"]

    with pytest.raises(NotSimulated, match=r"test_run\.py:\d+ in guess asks for entropy .*outside"):
        played(system)


def test_what_a_mounted_app_asks_for_is_told_by_the_library_that_asks() -> None:
    """FastAPI takes a thread for a `def`, which is not on the stack yet."""
    app = FastAPI()
    service = Service("old")
    service.mount("/old", app, public=True)

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    system = System("mounted", services=[service])

    @system.workload
    async def caller(client: Client) -> None:
        await client.get("/old/hello")

    with pytest.raises(
        NotSimulated, match=r"-packages/\S+:\d+ in \w+ asks for a thread .*`async def`"
    ):
        played(system)


def test_a_bug_that_only_a_500_shows_is_told_with_its_line() -> None:
    """It is no violation, since a workload may want to see it; the story ends with it."""
    service = Service("desk")

    @service.get("/v1/bug", public=True)
    async def bug() -> str:
        return {"one": "known"}["two"]

    system = System("bugs", services=[service])

    @system.workload
    async def reader(client: Client) -> None:
        assert (await client.get("/v1/bug")).status == 500

    outcome = played(system)
    story = timeline(outcome)

    assert outcome.violations == []
    assert re.search(
        r"logged: request\.failed in \S+ GET /v1/bug: KeyError: 'two', at \S+test_run\.py:\d+ bug",
        story,
    )


def test_an_assertion_of_the_workload_is_a_violation() -> None:
    """It is what the workload has found."""
    system = library()

    @system.workload
    async def members(client: Client) -> None:
        answer = await client.post("/v1/loans", json={"id": "one"}, key="first")
        assert answer.status == 200, "it was lent at once"

    [violation] = played(system).violations

    assert str(violation).startswith("the workload: it was lent at once")


def test_an_invariant_that_looks_for_what_is_not_there_is_violated() -> None:
    """With its name and its line; the others are checked all the same."""
    system, checked = library(), list[str]()

    @system.workload
    async def nobody(client: Client) -> None: ...

    @system.invariant
    def somebody_came(world: World) -> None:
        states(world)["one"].upper()

    @system.invariant
    def checked_too(world: World) -> None:
        checked.append("yes")

    [violation] = played(system).violations

    assert violation.invariant == "somebody_came"
    assert "KeyError: 'one', in states(world)[\"one\"].upper() (" in violation.told
    assert checked == ["yes"]


def test_nothing_keeps_a_world_that_is_over() -> None:
    """It would be in memory beside the next one, and what is in it could be met there."""
    system, worlds = library(), list[weakref.ref[World]]()

    @system.workload
    async def nobody(client: Client) -> None:
        await client.sleep(1.0)

    @system.invariant
    def is_there(world: World) -> None:
        worlds.append(weakref.ref(world))

    outcome = played(system)
    gc.collect()

    assert outcome.violations == []
    assert [world() for world in worlds] == [None]


def test_what_never_ran_is_listed() -> None:
    """Handlers, undos, failures, routes and ends of sagas; what ran is not."""
    system = library()

    @system.workload
    async def members(client: Client) -> None:
        await client.post("/v1/loans", json={"id": "one"}, key="first")
        await client.put("/v1/loans", json={"id": "one"}, key="second")

    outcome = played(system)

    assert sorted(outcome.never_ran) == [
        "handler shelf.Release",
        "handler shelf.Reserve: Broken",
        "handler shelf.Reserve: Taken",
        "route DELETE /v1/loans/{id}",
        "saga lending: failed",
    ]
    assert outcome.ends["handler shelf.Reserve"] == 1
