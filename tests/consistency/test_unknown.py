"""Work that this version does not know: it waits, costs no tries, and goes on where it is known."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from holdfast.consistency.schedule import Schedule, id_before
from holdfast.consistency.unknown import KnownWork, remedy, strangers, waiting, waits
from holdfast.contract.envelope import Kind, MessageRow, State
from holdfast.storage import WAITS, Unfinished
from tests.consistency.messages import GiveBack, Note, Order, Take
from tests.consistency.sagas import checkout, write
from tests.consistency.world import World

MINUTE = 60.0


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("again", [True, False])
async def test_a_letter_that_nobody_handles_here_waits(
    world: World, safe: bool, again: bool
) -> None:
    """For an hour, without a try; a version that handles it goes on within a minute."""
    if not safe:
        world.switch_off("unknown_waits")
    note = world.handlers.pop(Note)
    await world.start()
    world.broker.fate = lambda to, lane, parcel: (again,)
    await world.send(Note())
    await world.pass_time(60 * MINUTE)
    rows = await world["money"].rows(State.DUE, State.DEAD)
    world.handlers[Note] = note
    await world.crash()
    await world.pass_time(2 * MINUTE)

    assert [row.state for row in rows] == [State.DUE if safe else State.DEAD]
    assert waits(rows[0]) is safe
    assert rows[0].tries == (0 if safe else 8)
    assert await world["money"].effects() == (["note"] if safe else [])


async def test_an_undo_that_nobody_handles_here_waits(world: World) -> None:
    """After a roll-back its command may be known, and it not yet."""
    world.saga(checkout)
    give_back = world.handlers.pop(GiveBack)

    async def taken_back(saga: Any, order: Order) -> None:
        await saga.call(Take(), undo=GiveBack())
        await saga.undo()
        await saga.local(write, "taken back")

    world.saga(taken_back)
    await world.start()
    await world.begin(taken_back)
    await world.pass_time(30 * MINUTE)
    world.handlers[GiveBack] = give_back
    await world.crash()
    await world.settle(600)

    assert (await world.all_effects())["stock"] == ["take", "give back"]
    assert await world["shop"].effects() == ["placed", "taken back"]


@pytest.mark.parametrize("version", [None, 1])
async def test_a_sleeping_saga_of_another_version_waits(world: World, version: int | None) -> None:
    """Its type may be unknown or newer: its timer is put off for a minute at most, and shown."""

    async def sleeper(saga: Any, order: Order) -> None:
        await saga.sleep(timedelta(minutes=1))
        await saga.local(write, "awake")

    world.saga(sleeper, version=2)
    await world.start()
    await world.begin(sleeper)
    known = world.sagas.pop("sleeper")
    if version is not None:
        world.saga(sleeper, version=version)
    await world.crash()
    await world.pass_time(60 * MINUTE)
    [timer] = await world["shop"].rows(State.DUE)
    now_ms = world["shop"].database.now_ms()
    found = await world["shop"].database.unfinished()

    assert waits(timer)
    assert (timer.tries, timer.due_at is not None and timer.due_at - now_ms <= 60_000) == (0, True)
    assert found == [Unfinished("saga", "sleeper", 2, 1)]
    assert (await world["shop"].database.backlog([])).waiting == 1

    world.sagas["sleeper"] = known
    await world.crash()
    await world.settle(120)

    assert await world["shop"].effects() == ["placed", "awake"]


@pytest.mark.parametrize("what", ["letter", "saga"])
async def test_what_is_unknown_here_is_left_to_others_for_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A process that knows it may be there: this one does not take it from under its hands."""

    async def sleeper(saga: Any, order: Order) -> None:
        await saga.sleep(timedelta(seconds=10))

    world.saga(sleeper)
    await world.start()
    if what == "letter":
        world["money"].hands.pop(Note.wire_name())
        await world.send(Note())
    else:
        await world.begin(sleeper)
        monkeypatch.delitem(world["shop"].duties.sagas, "sleeper")
    met: list[float] = []
    for _ in range(4 * 60):
        await world.pass_time(1)
        told = sum(event == f"{what}.waits" for event, _ in world.notices)
        met += [world["shop"].ledger.clock.monotonic()] * (told - len(met))
    pauses = [later - sooner for sooner, later in pairwise(met)]

    assert len(met) >= 3
    assert min(pauses) > MINUTE - 2


async def test_a_renamed_saga_goes_on_under_its_old_name(world: World) -> None:
    """The function that takes its place is found under both names."""

    async def travel(saga: Any, order: Order) -> None:
        await saga.sleep(timedelta(minutes=1))
        await saga.local(write, f"arrived {saga.version}")

    world.saga(travel)
    await world.start()
    await world.begin(travel)
    world.sagas.clear()
    travel.__name__ = "journey"
    world.saga(travel, version=2)
    world.sagas["travel"] = world.sagas["journey"]
    await world.crash()
    await world.begin(travel)
    await world.settle()

    assert sorted(await world["shop"].effects()) == ["arrived 1", "arrived 2", "placed", "placed"]
    assert world.ended == [("journey", "completed")] * 2


async def test_a_saga_knows_the_version_that_it_began_with(world: World) -> None:
    """Through changes of the function and restarts of the process; a restart of it is a new one."""
    seen: list[int] = []

    async def moving(saga: Any, order: Order) -> None:
        if saga.version >= 2:
            await saga.local(write, "new step")
        await saga.sleep(timedelta(minutes=1))
        seen.append(saga.version)
        if saga.version == 1:
            await saga.restart(Order(item="again"))

    world.saga(moving, version=1)
    await world.start()
    await world.begin(moving)
    await world.pass_time(5)
    world.saga(moving, version=3)
    await world.crash()
    await world.settle(300)

    assert seen == [1, 3]
    assert await world["shop"].effects() == ["placed", "new step"]
    assert world.ended == [("moving", "completed")]


def test_the_reason_stands_once_behind_what_was_written_before() -> None:
    """However often this version meets the letter; the pause grows with its age to a minute."""
    letter = id_before(1_000)
    row = MessageRow(1, letter, State.DUE, Kind.COMMAND, due_at=5, tries=3, error="try 1 at 9: x")
    once = waiting(row, "nobody", 2_000, Schedule())
    twice = waiting(once, "nobody", 1_000_000, Schedule())

    assert twice.error == f"try 1 at 9: x\n{WAITS}nobody"
    assert (once.tries, once.due_at) == (2, 2_500)
    assert twice.due_at == 1_060_000


def test_what_is_unknown_is_told_with_its_remedy() -> None:
    """By name: an unknown type, a newer version, a job, a letter; what is known is not."""
    version = KnownWork({"travel": 2}, {"tick sweep", "Note.v1"}, {("till", "Charge.v1")})
    known = [
        Unfinished("saga", "travel", 2, 3),
        Unfinished("tick", "tick sweep", 1, 1),
        Unfinished("command", "Charge.v1", 1, 1, "till"),
    ]
    unknown = [
        Unfinished("saga", "travel", 3, 2),
        Unfinished("saga", "flow", 1, 1),
        Unfinished("tick", "tick tidy", 1, 1),
        Unfinished("command", "Note.v2", 1, 1),
        Unfinished("command", "Charge.v1", 1, 2, "bank"),
        Unfinished("withdraw", "Note.v1", 1, 1, "till"),
        Unfinished("undo", "Refund.v1", 1, 1, "till"),
        Unfinished("event", "Paid.v1", 1, 1, "till"),
    ]

    assert strangers([*known, *unknown], version) == unknown
    told = [remedy("desk", work, version) for work in unknown]
    newer, gone, job, letter, charge, withdrawal, refund, paid = told
    assert newer.startswith("desk: 2 sagas travel of version 3, this process has 2; deploy")
    assert '@desk.saga(was="flow")' in gone.replace("'", '"')
    assert "was='tidy'" in job
    assert "gone=['tidy']" in job
    assert letter.startswith("desk: 1 letter Note.v2, which nobody handles here")
    assert charge.startswith("desk: 2 letters Charge.v1 to bank without an answer, and the graph")
    assert "write `calls=[Charge]` in desk again until" in charge
    assert "write `calls=[Note]` in desk again until" in withdrawal
    assert "let desk call again what Refund undoes until" in refund
    assert "let desk publish it and till hear it again until" in paid
