"""An operator cancels a saga: it takes no further step, and what it did is undone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from holdfast.consistency.turn import Effects, Own
from holdfast.contract.envelope import Parcel
from holdfast.contract.failure import Failure
from holdfast.errors import Conflict
from holdfast.storage import Transaction
from tests.consistency.faults import dropping
from tests.consistency.messages import GiveBack, Note, Order, Pay, Refund, Shipped, Take
from tests.consistency.sagas import checkout, write
from tests.consistency.world import World

DAY = timedelta(days=1)


def arriving(to: str, lane: str, parcel: bytes) -> Sequence[bool]:
    """Let everything arrive once."""
    return (False,)


async def cancel(world: World, saga: UUID) -> None:
    """Cancel a saga, as an operator does."""

    async def run(tx: Transaction, effects: Effects) -> None:
        await world["shop"].sagas.cancel(tx, saga, effects)

    turn = Own(run)
    await world["shop"].writer.perform(turn)


async def cancelled(world: World, saga: UUID) -> None:
    """Cancel it, and see it end."""
    await cancel(world, saga)
    await world.settle()
    [row] = await world.saga_rows()

    assert (row.state, row.error) == ("failed", "cancelled by an operator")
    assert not await world.busy()


async def sleeps(saga: Any, order: Order) -> None:
    """Take, then sleep, then pay."""
    await saga.call(Take(), undo=GiveBack())
    await saga.sleep(DAY)
    await saga.call(Pay(cents=1), undo=Refund(cents=1))


async def waits(saga: Any, order: Order) -> None:
    """Take, then wait for what never comes, and go on whatever comes."""
    await saga.call(Take(), undo=GiveBack())
    await saga.wait(Shipped, "7", timeout=DAY)
    await saga.call(Note())


async def compensates(saga: Any, order: Order) -> None:
    """Undo by hand, and write it down."""
    try:
        await saga.call(Take(), undo=GiveBack())
        await saga.sleep(DAY)
    except Failure as failure:
        await saga.undo()
        await saga.local(write, f"cancelled: {failure.name}")


async def stubborn(saga: Any, order: Order) -> None:
    """Try another way after each failure."""
    await saga.call(Take(), undo=GiveBack())
    for _ in range(3):
        try:
            await saga.sleep(DAY)
            await saga.call(Note())
        except Failure:
            continue


@pytest.mark.parametrize(
    ("function", "own"),
    [(sleeps, []), (waits, []), (stubborn, []), (compensates, ["cancelled: Cancelled"])],
)
async def test_what_was_done_is_undone_and_nothing_more_is_done(
    world: World, function: Any, own: list[str]
) -> None:
    """Whatever it waits for; its own compensation runs, other ways do not."""
    world.saga(function)
    await world.start()
    saga = await world.begin(function)
    await world.pass_time(5)
    await cancelled(world, saga)

    assert await world.all_effects() == {
        "shop": ["placed", *own],
        "stock": ["take", "give back"],
        "money": [],
    }


@pytest.mark.parametrize(("lost", "effects"), [("answers", ["take", "give back"]), ("Take.v1", [])])
async def test_a_command_under_way_with_an_undo_is_undone(
    world: World, lost: str, effects: list[str]
) -> None:
    """Whether it was done, and its answer is late, or it comes after its undo."""
    world.saga(checkout)
    await world.start()
    world.broker.fate = dropping(lost)
    saga = await world.begin(checkout)
    await world.pass_time(3)
    await cancel(world, saga)
    world.broker.fate = arriving
    await world.settle(600)
    [row] = await world.saga_rows()

    assert (row.state, row.error) == ("failed", "cancelled by an operator")
    assert await world.all_effects() == {
        "shop": ["placed", "cancelled: Cancelled"],
        "stock": effects,
        "money": [],
    }


async def test_a_command_under_way_without_an_undo_is_withdrawn(world: World) -> None:
    """It never arrived: it does not run any more, and the saga hears so before it ends."""

    async def notes(saga: Any, order: Order) -> None:
        await saga.call(Take(), undo=GiveBack())
        await saga.call(Note())

    world.saga(notes)
    await world.start()
    world.broker.fate = dropping("Note.v1")
    saga = await world.begin(notes)
    await world.pass_time(3)
    await cancel(world, saga)
    world.broker.fate = arriving
    await world.settle(600)
    [row] = await world.saga_rows()

    assert row.state == "failed"
    assert await world.all_effects() == {
        "shop": ["placed"],
        "stock": ["take", "give back"],
        "money": [],
    }
    assert [step[2] for step in await world.steps(saga)] == ["reply", "unanswered", "undone"]


async def notes_and_writes(saga: Any, order: Order) -> None:
    """Note, and write down in the own tables that it was noted."""
    await saga.call(Take(), undo=GiveBack())
    await saga.call(Note())
    await saga.local(write, "noted")


async def notes_and_breaks(saga: Any, order: Order) -> None:
    """Note, and come to a bug."""
    await saga.call(Take(), undo=GiveBack())
    await saga.call(Note())
    raise LookupError("a bug")


@pytest.mark.parametrize("function", [notes_and_writes, notes_and_breaks])
async def test_a_command_that_was_done_all_the_same_tells_of_no_cancellation(
    world: World, function: Any
) -> None:
    """Its late reply is one: the function goes on to its next step, and meets `Cancelled` there.

    So what it would do next is no compensation of its own, and a bug behind it parks nothing.
    """
    world.saga(function)
    await world.start()
    saga, before = await world.begin(function), world.broker.fate

    def fate(to: str, lane: str, raw: bytes) -> Sequence[bool]:
        parcel = msgspec.json.decode(raw, type=Parcel)
        return () if parcel.answers and parcel.receiver == "money" else (False,)

    world.broker.fate = fate
    await world.pass_time(3)
    world.broker.fate = before
    assert await world["money"].effects() == ["note"]
    await cancelled(world, saga)

    assert await world.all_effects() == {
        "shop": ["placed"],
        "stock": ["take", "give back"],
        "money": ["note"],
    }
    assert [step[2] for step in await world.steps(saga)] == ["reply", "reply", "undone"]


async def test_a_parked_saga_is_cancelled_without_a_mended_function(world: World) -> None:
    """Its bug lies behind the steps that it took; these are undone."""

    async def buggy(saga: Any, order: Order) -> None:
        await saga.call(Take(), undo=GiveBack())
        raise LookupError("a bug")

    world.saga(buggy)
    await world.start()
    saga = await world.begin(buggy)
    await world.settle()
    await cancelled(world, saga)

    assert (await world.all_effects())["stock"] == ["take", "give back"]


async def test_what_a_function_does_not_come_to_cannot_be_cancelled(world: World) -> None:
    """Nobody knows what would undo a command that is under way: refused, and nothing changes."""
    broken = list[bool]()

    async def buggy(saga: Any, order: Order) -> None:
        if broken:
            raise LookupError("a bug")
        await saga.call(Take(), undo=GiveBack())

    world.saga(buggy)
    await world.start()
    world.broker.fate = dropping("Take.v1")
    saga = await world.begin(buggy)
    await world.pass_time(1)
    broken.append(True)
    with pytest.raises(Conflict, match=r"does not come to step 1, Take\.v1"):
        await cancel(world, saga)
    broken.clear()
    world.broker.fate = arriving
    await world.settle(600)

    assert world.ended == [("buggy", "completed")]


async def test_a_cancelled_saga_outlives_its_process(world: World) -> None:
    """The wish is in the table: undos that did not leave leave later, and no step is taken."""
    world.saga(sleeps)
    await world.start()
    saga = await world.begin(sleeps)
    await world.pass_time(5)
    world.broker.fate = dropping("undo")
    await cancel(world, saga)
    await cancel(world, saga)
    await world.crash()
    world.broker.fate = arriving
    await world.settle(600)
    [row] = await world.saga_rows()

    assert row.state == "failed"
    assert (await world.all_effects())["stock"] == ["take", "give back"]


async def test_what_has_ended_is_left_alone(world: World) -> None:
    """A cancellation that comes too late changes nothing."""
    world.saga(checkout)
    await world.start()
    saga = await world.begin(checkout)
    await world.settle()
    await cancel(world, saga)
    [row] = await world.saga_rows()

    assert row.state == "completed"
