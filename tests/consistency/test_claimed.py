"""What is due in the table: how many rows are run at once, and who shares a transaction."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from holdfast.consistency.unit import Unit
from holdfast.consistency.waits import SagaWaits
from holdfast.contract.envelope import Kind, State
from holdfast.errors import TransactionLost
from tests.consistency.messages import EFFECTS, Note, Order
from tests.consistency.world import Reaching, World, effect


async def sleeper(saga: Any, order: Order) -> None:
    """Sleep for a while."""
    await saga.sleep(timedelta(seconds=5))


async def send(world: World, count: int) -> None:
    """Send letters in one parcel that may have come before: they go into the table first."""
    world.broker.fate = lambda to, lane, parcel: (True,)

    def work(tx: Unit) -> None:
        for _ in range(count):
            tx.send(Note())

    await world["shop"].write(work)


async def test_rows_that_wait_for_room_are_run_as_soon_as_there_is_some(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the next look, when half of those under way have ended; and no more than fit."""
    monkeypatch.setattr("holdfast.consistency.claimed.UNDER_WAY_MAX", 8)
    world.schedule = replace(world.schedule, poll_ms=20_000)
    under_way, most = 0, 0

    async def note(command: Note, tx: Unit, outside: Reaching) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(1)
        under_way -= 1
        await effect("money", "note")(command, tx, outside)

    world.handlers[Note] = note
    await world.start()
    await world.pass_time(1)
    await send(world, 40)
    await world.pass_time(7)

    assert len(await world["money"].effects()) == 40
    assert most == 8


async def test_a_letter_that_failed_shares_its_next_transaction_with_nobody(world: World) -> None:
    """It may be one that takes its process along; those that are tried for the first time share."""
    count, shared, alone = 10, dict[UUID, int](), list[int]()

    async def note(command: Note, tx: Unit, outside: Reaching) -> None:
        await tx.execute(select(EFFECTS["money"]))  # it is in its transaction from here on
        letter, commits = outside.delivery.letter.id, world["money"].writer.stats().commits
        if letter not in shared:
            shared[letter] = commits
            raise LookupError("not yet")
        alone.append(commits)
        await effect("money", "note")(command, tx, outside)

    world.handlers[Note] = note
    await world.start()
    await send(world, count)
    await world.pass_time(10)

    assert await world["money"].effects() == ["note"] * count
    assert len(set(shared.values())) == 1
    assert len(set(alone)) == count


@pytest.mark.parametrize("kind", [Kind.COMMAND, Kind.TIMER])
async def test_a_row_that_cannot_be_run_is_told_and_claimed_again(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """Whatever it was: an operator reads which row, what, and where; its lease ends."""

    def broken(*asked: object) -> None:
        raise LookupError("a bug")

    world.saga(sleeper)
    await world.start()
    if kind is Kind.COMMAND:
        monkeypatch.setattr(world["money"].core.handling, "find", broken)
        await send(world, 1)
        core = world["money"]
    else:
        monkeypatch.setattr(SagaWaits, "over", broken)
        await world.begin(sleeper)
        core = world["shop"]
    await world.pass_time(20)
    [(event, told), *_] = world.notices
    [(_, cause), *_] = world.causes
    [row] = await core.rows(State.DUE)
    monkeypatch.undo()
    await world.settle(600)

    assert (event, told["letter"], row.kind) == ("letter.postponed", str(row.id), kind)
    assert told["error"] == "LookupError: a bug"
    assert told["at"].startswith(f"{__file__}:") and told["at"].endswith(" in broken")
    assert getattr(cause, "id", None) == (row.id if kind is Kind.COMMAND else None)
    assert await core.rows(State.DUE) == []


async def test_a_letter_whose_transactions_are_lost_is_told(world: World) -> None:
    """Which one, and of what type; it is in the table, and runs when the database lets it."""
    lost = [True]

    async def note(command: Note, tx: Unit, outside: Reaching) -> None:
        await effect("money", "note")(command, tx, outside)
        if lost[0]:
            raise TransactionLost("a conflict")

    world.handlers[Note] = note
    await world.start()
    await send(world, 1)
    await world.pass_time(5)
    [row] = await world["money"].rows(State.DUE)
    [(event, told), *_] = world.notices
    [(_, cause), *_] = world.causes
    lost[0] = False
    await world.settle(600)

    assert (event, told) == ("letter.postponed", {"type": "Note.v1", "letter": str(row.id)})
    assert getattr(cause, "id", None) == row.id
    assert await world["money"].effects() == ["note"]
