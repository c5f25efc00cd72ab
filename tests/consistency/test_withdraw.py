"""Commands that are withdrawn: without an undo, or because nobody asked for it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from holdfast.contract.envelope import Kind, Letter, Parcel, State
from holdfast.contract.failure import Failure, Unanswered
from tests.consistency.faults import dropping
from tests.consistency.messages import GiveBack, Note, Order, Take
from tests.consistency.sagas import write
from tests.consistency.world import World

MINUTE = timedelta(minutes=1)


async def note_only(saga: Any, order: Order) -> None:
    """One step that cannot be undone."""
    try:
        await saga.call(Note(), timeout=MINUTE)
    except Unanswered as failure:
        await saga.local(write, f"unanswered: {failure.effect}")
    else:
        await saga.local(write, "noted")


@pytest.mark.parametrize("undo", [True, False])
async def test_a_command_whose_time_is_over_is_not_sent_again(world: World, undo: bool) -> None:
    """It is found due at its time-out, as it was at each of its re-sends before."""

    async def hasty(saga: Any, order: Order) -> None:
        await saga.call(Take(), undo=GiveBack() if undo else None, timeout=MINUTE)

    world.saga(hasty)
    await world.start()
    world.broker.fate = dropping("Take.v1")
    await world.begin(hasty)
    await world.pass_time(59)
    before = commands_to(world, "stock")
    await world.pass_time(3)
    after = commands_to(world, "stock")

    assert 2 <= before == after
    waiting = [row for row in await world["shop"].out_rows() if row.state is State.DUE]
    assert Kind.COMMAND not in [row.kind for row in waiting], "nobody waits for it any more"


def commands_to(world: World, service: str) -> int:
    """Count how often a command was sent to a service."""
    parcels = [msgspec.json.decode(raw, type=Parcel) for to, _, raw in world.broker.parcels
               if to == service]  # fmt: skip
    letters = [msgspec.json.decode(bytes(raw), type=Letter) for p in parcels for raw in p.letters]
    return sum(letter.kind is Kind.COMMAND for letter in letters)


async def test_what_cannot_be_undone_is_withdrawn(world: World) -> None:
    """The command never came: it is withdrawn, and the saga knows that it has no effect."""
    world.saga(note_only)
    await world.start()
    world.broker.fate = dropping("command")
    await world.begin(note_only)
    await world.settle()
    late = next(p for p in world.broker.parcels if p[0] == "money")
    await world.broker.deliver["money", "work"](late[2], False, "shop")

    effects = await world.all_effects()
    assert effects["shop"] == ["placed", "unanswered: none"]
    assert effects["money"] == []


@pytest.mark.parametrize("safe", [True, False])
async def test_the_answer_of_a_withdrawal_is_the_outcome(world: World, safe: bool) -> None:
    """It was done after all: the withdrawal brings the reply, and the saga goes on."""
    if not safe:
        world.switch_off("withdraw_without_undo")
    world.saga(note_only)
    await world.start()
    world.broker.fate = dropping("answers")
    await world.begin(note_only)
    await world.pass_time(61)
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle()

    effects = await world.all_effects()
    assert effects["money"] == ["note"]
    assert effects["shop"] == ["placed", "noted" if safe else "unanswered: unknown"]


async def test_an_unanswered_step_that_nobody_undoes_is_withdrawn_at_the_end(
    world: World,
) -> None:
    """A saga that swallows `Unanswered` and ends leaves no command that may still happen."""

    async def careless(saga: Any, order: Order) -> None:
        try:
            await saga.call(Take(), undo=GiveBack(), timeout=MINUTE)
        except Failure:
            return

    world.saga(careless)
    await world.start()
    world.broker.fate = dropping("command")
    await world.begin(careless)
    await world.settle(120)
    late = next(p for p in world.broker.parcels if p[0] == "stock")
    await world.broker.deliver["stock", "work"](late[2], False, "shop")

    assert world.ended == [("careless", "completed")]
    assert (await world.all_effects())["stock"] == []
    assert await world["shop"].out_rows() == []


async def test_a_restart_withdraws_what_is_still_held(world: World) -> None:
    """The new life of a saga uses the same paths, and is not stopped by what the old one left."""

    async def again(saga: Any, order: Order) -> None:
        try:
            await saga.call(Take(item=order.item), undo=GiveBack(), timeout=MINUTE)
        except Unanswered:
            await saga.restart(Order(item="second life"))
        await saga.local(write, order.item)

    world.saga(again)
    await world.start()
    world.broker.fate = dropping("command")
    await world.begin(again)
    await world.pass_time(61)
    world.broker.fate = lambda to, lane, parcel: (False,)
    await world.settle()

    effects = await world.all_effects()
    assert effects["shop"] == ["placed", "second life"]
    assert effects["stock"] == ["take"]
    assert await world["shop"].out_rows() == []
