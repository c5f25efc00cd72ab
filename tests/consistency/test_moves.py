"""The rows make every move of docs/protocol.md; `World.end` sees that they make no other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from holdfast.consistency.delivery import Hopeless
from holdfast.consistency.transitions import dropped, requeued
from holdfast.consistency.turn import Effects
from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import MessageRow, State
from holdfast.contract.failure import Failure
from holdfast.storage import Transaction
from tests.consistency.faults import dropping
from tests.consistency.messages import GiveBack, Note, Order, Shipped, Take
from tests.consistency.moves import moves_in
from tests.consistency.world import Reaching, World
from tests.docs.protocol import MOVES

TEN_S = timedelta(seconds=10)


async def undoes(saga: Any, order: Order) -> None:
    """Sleep, wait for what has come already, take, and undo it."""
    await saga.sleep(TEN_S)
    await saga.wait(Shipped, "mine", timeout=TEN_S)
    await saga.call(Take(), undo=GiveBack(), timeout=TEN_S)


async def is_careless(saga: Any, order: Order) -> None:
    """Take, and undo nothing."""
    try:
        await saga.call(Take(), undo=GiveBack(), timeout=TEN_S)
    except Failure:
        return


async def hopeless(command: Note, tx: Unit, outside: Reaching) -> None:
    """Raise what no other try can mend."""
    raise Hopeless("never")


async def broken(command: Take, tx: Unit, outside: Reaching) -> None:
    """Raise a bug."""
    raise LookupError("a bug")


async def change(world: World, changes: list[Callable[[MessageRow, int], MessageRow]]) -> None:
    """Do something to each dead letter, as an operator does."""
    dead = await world["money"].rows(State.DEAD)

    async def write(tx: Transaction, effects: Effects) -> None:
        for row, changed in zip(dead, changes, strict=True):
            assert await tx.update_message(changed(row, tx.now_ms), State.DEAD)

    await world["money"].writer.perform_own(write)


async def test_every_move_of_the_page_is_made(world: World) -> None:
    """Letters that are handled, lost, hopeless, dropped, undone, withdrawn and forgotten."""
    world.schedule = replace(world.schedule, transaction_ms=2_000, event_kept_ms=20_000)
    world.handlers[Note], handled = hopeless, world.handlers[Take]
    world.handlers[Take] = broken
    world.saga(undoes)
    world.saga(is_careless)
    await world.start()

    await world["stock"].write(lambda tx: tx.publish(Shipped(order="mine")))
    await world.send(Note())
    await world.pass_time(1)
    world.broker.fate = lambda to, lane, parcel: (True,)  # it may not be the first delivery
    await world.send(Note())
    await world.pass_time(1)
    await change(world, [requeued, dropped])
    await world.begin(undoes)  # its undo meets a command that is tried again
    await world.settle(60)

    world.handlers[Take] = handled
    await world.crash()
    world.broker.fate = dropping("command")
    await world.begin(undoes)  # its undo meets nothing
    await world.begin(is_careless)
    await world.settle(90)

    assert moves_in(world.folder.glob("*.db")) == MOVES
