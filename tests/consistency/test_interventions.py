"""What an operator does to letters, in a transaction that may be lost."""

import asyncio

from holdfast.consistency.interventions import Interventions
from holdfast.consistency.transitions import dropped, requeued
from holdfast.consistency.turn import Effects
from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import State
from holdfast.errors import TransactionLost
from holdfast.storage import Transaction
from tests.consistency.messages import Note
from tests.consistency.world import Reaching, World


async def test_what_a_lost_transaction_has_changed_is_not_reported(world: World) -> None:
    """Run again, the intervention finds that somebody else has dropped the letter meanwhile."""

    async def bad(command: Note, tx: Unit, outside: Reaching) -> None:
        raise LookupError("a bug")

    world.handlers[Note] = bad
    await world.start()
    await world.send(Note())
    await world.settle(100)
    core, others = world["money"].core, list[asyncio.Task[None]]()
    [dead] = await world["money"].rows(State.DEAD)

    async def drop(tx: Transaction, effects: Effects) -> None:
        await tx.update_message(dropped(dead, tx.now_ms), State.DEAD)

    async def lose(name: str) -> None:
        others.append(asyncio.create_task(core.writer.perform_own(drop)))
        await asyncio.sleep(0)
        raise TransactionLost("the disk was full")

    world.plan.log.clear()
    world.plan.at, world.plan.strike = "money: before commit", lose
    changed = await Interventions(core).change_dead(dead.id, requeued)
    await asyncio.gather(*others)

    assert changed is None
    assert [row.state for row in await world["money"].rows()] == [State.REFUSED]
