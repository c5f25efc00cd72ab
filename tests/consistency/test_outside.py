"""Handlers that reach an External, and handlers that fail: keys, tries, dead letters."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from holdfast.consistency.delivery import Hopeless
from holdfast.consistency.transitions import dropped, requeued
from holdfast.consistency.turn import Effects, Own
from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import MessageRow, State
from holdfast.errors import CallError, Conflict, TransactionLost
from holdfast.storage import Transaction
from tests.consistency.faults import dropping
from tests.consistency.messages import EFFECTS, Declined, Note, Order, Pay, Refund
from tests.consistency.sagas import write
from tests.consistency.world import Reaching, World, effect


async def dead_letter(world: World, service: str = "money") -> MessageRow:
    """Return the one dead letter of a service."""
    [row] = await world[service].rows(State.DEAD)
    return row


async def test_a_silent_till_is_asked_again_under_the_same_key(world: World) -> None:
    """The charge happened, its answer was lost: the next try finds it done."""
    await world.start()
    world.till.silent = 2
    await world.send(Pay())
    await world.settle(60)

    assert len(world.till.calls) == 3
    assert len(world.till.charges) == 1
    assert await world["money"].effects() == ["pay"]


async def test_a_handler_makes_the_same_ids_in_every_try(world: World) -> None:
    """`tx.new_id` and `tx.now` derive from the letter, so that every try sends the same bytes."""
    seen: list[tuple[Any, Any]] = []

    async def flaky(command: Note, tx: Unit, outside: Reaching) -> None:
        seen.append((tx.new_id(), tx.now))
        if len(seen) < 3:
            raise RuntimeError("not yet")

    world.handlers[Note] = flaky
    await world.start()
    await world.send(Note())
    await world.settle(60)

    assert len(seen) == 3
    assert len(set(seen)) == 1


@pytest.mark.parametrize("safe", [True, False])
async def test_other_bytes_under_the_same_key_are_refused(world: World, safe: bool) -> None:
    """A try that would send something else makes the letter dead, and says why."""
    if not safe:
        world.switch_off("same_bytes")
    amounts = iter([5, 6, 7])

    async def fickle(command: Pay, tx: Unit, outside: Reaching) -> int:
        return await outside.charge(next(amounts))

    world.handlers[Pay] = fickle
    await world.start()
    world.till.away = 1
    await world.send(Pay())
    await world.settle(60)

    sent = {cents for _, cents in world.till.calls}
    assert sent == ({5} if safe else {5, 6})
    if safe:
        assert "other bytes under the same key" in str((await dead_letter(world)).error)


@pytest.mark.parametrize("safe", [True, False])
async def test_nothing_is_tried_after_the_life_of_its_key(world: World, safe: bool) -> None:
    """The till has forgotten the key: another try would be another charge."""
    if not safe:
        world.switch_off("key_life")
    world.key_life_s = 20.0
    await world.start()
    world.till.silent = 1_000
    await world.send(Pay())
    await world.pass_time(21)
    tried = len(world.till.calls)
    world.till.charges.clear()  # the key's life ends
    await world.pass_time(30)

    assert (len(world.till.calls) == tried) == safe
    assert bool(world.till.charges) == (not safe)
    if safe:
        row = await dead_letter(world)
        assert row.reached
        assert "forgotten its key" in str(row.error)


async def test_a_dead_letter_that_reached_is_dropped_after_its_keys_life(world: World) -> None:
    """Until then a try that is under way may have its effect, which nothing would undo."""
    world.key_life_s = 60.0

    async def broken(command: Pay, tx: Unit, outside: Reaching) -> int:
        await outside.charge(command.cents)
        raise Hopeless("never")

    world.handlers[Pay] = broken
    await world.start()
    await world.send(Pay())
    await world.pass_time(5)
    row = await dead_letter(world)
    assert row.expires_at is not None

    with pytest.raises(Conflict, match="its key's life"):
        dropped(row, row.expires_at - 1)
    assert dropped(row, row.expires_at).state is State.REFUSED


async def pay_only(saga: Any, order: Order) -> None:
    """One step that reaches the till."""
    await saga.call(Pay(), undo=Refund())


@pytest.mark.parametrize("safe", [True, False])
async def test_a_charge_is_finished_after_a_crash(world: World, safe: bool) -> None:
    """The process dies after the charge, and no letter comes again: the row finishes it.

    Without the row the saga gives up, its undo finds nothing to undo, and the money is gone.
    """
    if not safe:
        world.switch_off("reached_committed")

    async def die(where: str) -> None:
        world.broker.fate = dropping("command")
        await world.kill()

    world.saga(pay_only)
    world.plan.at, world.plan.strike = "after the charge", die
    await world.start()
    await world.begin(pay_only)
    await world.settle(200)

    assert len(world.till.charges) == 1
    assert await world["money"].effects() == (["pay"] if safe else [])
    assert world.ended == [("pay_only", "completed" if safe else "failed")]


@pytest.mark.parametrize("safe", [True, False])
async def test_a_failed_try_stays_reached(world: World, safe: bool) -> None:
    """The handler fails after the charge; the undo that comes meanwhile waits for it."""
    if not safe:
        world.switch_off("reached_kept")
    loop = asyncio.get_running_loop()
    works_at = loop.time() + 75

    async def buggy(command: Pay, tx: Unit, outside: Reaching) -> int:
        charged = await outside.charge(command.cents)
        if loop.time() < works_at:
            raise CallError("somebody else is away")
        await effect("money", "pay")(command, tx, outside)
        return charged

    world.handlers[Pay] = buggy
    world.saga(pay_only)
    await world.start()
    await world.begin(pay_only)
    await world.settle(300)

    assert len(world.till.charges) == 1
    assert await world["money"].effects() == (["pay", "refund"] if safe else [])


async def test_a_letter_is_dead_after_its_last_try(world: World) -> None:
    """Every try's error is written down; requeued, it is tried from zero."""
    broken = [True]

    async def buggy(command: Note, tx: Unit, outside: Reaching) -> None:
        tx.insert(EFFECTS["money"], id=tx.new_id(), what="rolled back" if broken else "note")
        if broken:
            raise LookupError("a bug")

    world.handlers[Note] = buggy
    await world.start()
    await world.send(Note())
    await world.settle(120)
    row = await dead_letter(world)
    lines = str(row.error).splitlines()

    assert row.tries == len(lines) / 2 == world.schedule.tries_max
    assert all("Z: LookupError: a bug" in line.replace("+00:00", "Z") for line in lines[::2])
    assert all(f"    at {__file__}:" in line and "in buggy" in line for line in lines[1::2])
    assert await world["money"].effects() == []

    broken.clear()

    async def requeue(tx: Transaction, effects: Effects) -> None:
        await tx.update_message(requeued(row, tx.now_ms), State.DEAD)

    await world["money"].writer.perform(Own(requeue))
    await world.settle(60)

    assert await world["money"].effects() == ["note"]


async def test_a_hopeless_letter_is_dead_at_once(world: World) -> None:
    """No further try could help."""

    async def hopeless(command: Note, tx: Unit, outside: Reaching) -> None:
        raise Hopeless("never")

    world.handlers[Note] = hopeless
    await world.start()
    await world.send(Note())
    await world.pass_time(2)

    assert (await dead_letter(world)).tries == 1


async def test_an_outage_is_no_reason_to_give_up(world: World) -> None:
    """Tries that failed because somebody else is away are given back; the pauses grow."""
    await world.start()
    world.till.away = 3 * world.schedule.tries_max
    await world.send(Pay())
    await world.settle(300)

    assert await world["money"].effects() == ["pay"]
    assert len(world.till.charges) == 1


async def test_a_bug_after_an_outage_has_all_its_tries(world: World) -> None:
    """The outage has not used them up."""
    tries: list[int] = []

    async def buggy(command: Pay, tx: Unit, outside: Reaching) -> int:
        charged = await outside.charge(command.cents)
        tries.append(1)
        if len(tries) < world.schedule.tries_max:
            raise LookupError("a bug")
        await effect("money", "pay")(command, tx, outside)
        return charged

    world.handlers[Pay] = buggy
    await world.start()
    world.till.away = 2 * world.schedule.tries_max
    await world.send(Pay())
    await world.settle(300)

    assert await world["money"].effects() == ["pay"]


@pytest.mark.parametrize("switch", ["", "due_first_if_not_first", "try_counted_before"])
async def test_a_letter_that_kills_its_process_is_put_aside(world: World, switch: str) -> None:
    """Its tries are counted before they run; without that it kills every process, for ever."""
    if switch:
        world.switch_off(switch)
    world.schedule = replace(world.schedule, resend_cap_ms=5_000)
    deaths: list[float] = []

    async def deadly(command: Note, tx: Unit, outside: Reaching) -> None:
        deaths.append(1)
        if len(deaths) < 20:
            await world.kill()

    world.handlers[Note] = deadly
    await world.start()
    await world.send(Note())
    await world.pass_time(120)
    dead = await world["money"].rows(State.DEAD)

    assert len(deaths) == (20 if switch else world.schedule.tries_max + 1)
    assert len(dead) == (0 if switch else 1)


@pytest.mark.parametrize("safe", [True, False])
async def test_a_lost_transaction_is_no_try(
    world: World, safe: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The database ended it, not the handler: the letter is tried until the database lets it."""
    caplog.set_level(logging.CRITICAL, "holdfast")
    if not safe:
        world.switch_off("conflicts_are_no_tries")
    lost: list[int] = []
    conflicts = 5 * (world.schedule.tries_max + 4)

    async def unlucky(command: Note, tx: Unit, outside: Reaching) -> None:
        await effect("money", "note")(command, tx, outside)
        if len(lost) < conflicts:
            lost.append(1)
            raise TransactionLost("a conflict")

    world.handlers[Note] = unlucky
    await world.start()
    world.broker.fate = lambda to, lane, parcel: (True,)
    await world.send(Note())
    await world.settle(600)

    assert await world["money"].effects() == (["note"] if safe else [])
    assert len(await world["money"].rows(State.DEAD)) == (not safe)


@pytest.mark.parametrize("safe", [True, False])
async def test_a_refusal_rolls_back_its_own_writes_alone(world: World, safe: bool) -> None:
    """The answer is kept, the writes of the handler are not; those of the batch are."""
    if not safe:
        world.switch_off("failure_rolls_back")

    async def decline(command: Pay, tx: Unit, outside: Reaching) -> int:
        await tx.execute(EFFECTS["money"].insert().values(what="refused"))
        raise Declined(why="limit")

    world.handlers[Pay] = decline
    await world.start()

    def work(tx: Unit) -> None:
        tx.send(Note())
        tx.send(Pay())
        tx.send(Note())

    await world["shop"].write(work)
    await world.settle(30)

    expected = ["note", "note"] if safe else ["note", "refused", "note"]
    assert await world["money"].effects() == expected


async def test_an_undeclared_failure_is_a_bug(world: World) -> None:
    """It is tried again and ends as a dead letter; the saga is not told of it."""

    async def wrong(command: Note, tx: Unit, outside: Reaching) -> None:
        raise Declined(why="Note declares no failures")

    async def note_only(saga: Any, order: Order) -> None:
        await saga.call(Note())
        await saga.local(write, "noted")

    world.handlers[Note] = wrong
    world.saga(note_only)
    await world.start()
    await world.begin(note_only)
    await world.pass_time(40)

    assert "Declined" in str((await dead_letter(world)).error)
    assert await world["shop"].effects() == ["placed"]


@pytest.mark.parametrize("safe", [True, False])
async def test_a_withdrawn_letter_has_no_effect_however_slow_its_handler(
    world: World, safe: bool
) -> None:
    """The undo refused the row while the handler was out: what it writes then is discarded."""
    if not safe:
        world.switch_off("guarded_states")
    slow = asyncio.Event()

    async def waits(command: Pay, tx: Unit, outside: Reaching) -> int:
        await slow.wait()
        await effect("money", "pay")(command, tx, outside)
        return 5

    world.handlers[Pay] = waits
    world.saga(pay_only)
    world.broker.fate = lambda to, lane, parcel: (True,)  # from the table, not at first hand
    world.schedule = replace(world.schedule, saga_timeout_ms=5_000)
    await world.start()
    await world.begin(pay_only)
    await world.pass_time(10)
    slow.set()
    await world.settle(60)

    assert await world["money"].effects() == ([] if safe else ["pay"])
