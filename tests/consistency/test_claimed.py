"""What is due in the table: how many rows are run at once, and who shares a transaction."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import select

from holdfast.consistency.unit import Unit
from tests.consistency.messages import EFFECTS, Note
from tests.consistency.world import Reaching, World, effect


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
