"""Events that were heard: their rows end beside other work, and soon in any case."""

import asyncio
from collections import Counter

import pytest

from holdfast.consistency import heard
from holdfast.consistency.turn import Effects, Own, RunAgain, Turn
from holdfast.consistency.unit import Unit
from holdfast.consistency.writer import BESIDE_S
from holdfast.storage import Transaction
from tests.consistency.messages import Note, Shipped
from tests.consistency.world import Work, World


async def publish(world: World, count: int = 1) -> None:
    """Let the stock publish events in a transaction alone, and the shop hear them."""

    def work(tx: Unit) -> None:
        for number in range(count):
            tx.publish(Shipped(order=str(number)))

    stock = world["stock"]
    now_ms = int(stock.ledger.clock.now() * 1000)
    unit = Unit(stock.core.units, stock.ledger.seed(now_ms), now_ms)
    turn = Work(unit, stock.sagas, work)
    turn.alone = True
    await stock.writer.perform(turn)
    await asyncio.sleep(BESIDE_S / 5)  # virtual: heard, answered, and nothing else


async def nothing(tx: Transaction, effects: Effects) -> None:
    """A turn of somebody else."""


async def test_the_row_of_an_event_ends_soon(world: World) -> None:
    """A while after its answer, in one transaction with others that were heard meanwhile."""
    await world.start()
    stock = world["stock"]
    await publish(world)
    await publish(world)
    before, open_before = stock.writer.stats().commits, len(await stock.out_rows())
    await asyncio.sleep(2 * BESIDE_S)

    assert (open_before, await stock.out_rows()) == (2, [])
    assert stock.writer.stats().commits == before + 1


async def test_to_wait_for_others_is_not_to_wait_for_a_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long turns wait says how busy a service is; these wait because nobody is in a hurry."""
    await world.start()
    stock, waited = world["stock"], list[float]()
    await publish(world)

    def told(seconds: float, now: float, turns: int) -> None:
        waited.append(seconds)

    monkeypatch.setattr(stock.writer, "_waited", told)
    await asyncio.sleep(2 * BESIDE_S)

    assert len(waited) == 1
    assert waited[0] < BESIDE_S / 2


async def test_the_row_of_an_event_ends_beside_other_work(world: World) -> None:
    """Whatever turn comes next takes it along: there is no transaction for it."""
    await world.start()
    stock = world["stock"]
    await publish(world)
    before = stock.writer.stats().commits
    await stock.writer.perform(Own(nothing))
    left = await stock.out_rows()
    await asyncio.sleep(2 * BESIDE_S)

    assert left == []
    assert stock.writer.stats().commits == before + 1


async def test_who_works_alone_takes_nothing_along(world: World) -> None:
    """A turn that must be alone in its transaction is."""
    await world.start()
    stock = world["stock"]
    await publish(world)
    await stock.writer.perform(Own(nothing, alone=True))
    left = len(await stock.out_rows())
    await asyncio.sleep(2 * BESIDE_S)

    assert (left, await stock.out_rows()) == (1, [])


async def test_the_window_does_not_wait_for_rows(world: World) -> None:
    """An answer makes room at once, whenever its row ends."""
    await world.start()
    stock = world["stock"]
    await publish(world, 10)

    assert len(await stock.out_rows()) == 10
    assert stock.outbox.stats().in_flight == 0


async def test_the_answer_to_a_command_does_not_wait(world: World) -> None:
    """Somebody may wait for it; its row ends before the answer makes room."""
    await world.start()
    await world.send(Note())
    await asyncio.sleep(BESIDE_S / 5)

    assert await world["shop"].out_rows() == []


async def test_a_process_that_stops_ends_them(world: World) -> None:
    """Nothing is left that the next process would send again."""
    await world.start()
    stock = world["stock"]
    await publish(world)
    left = len(await stock.out_rows())
    await stock.core.stop()

    assert (left, await stock.out_rows()) == (1, [])


async def test_a_lost_transaction_ends_none_and_is_made_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows end a moment later, and no event is sent twice."""
    await world.start()
    stock, lost = world["stock"], Counter[str]()
    run = heard.Ending.run

    async def unlucky(turn: heard.Ending, tx: Transaction) -> None:
        lost["turns"] += 1
        if lost["turns"] < 3:
            raise RunAgain("a conflict")
        await run(turn, tx)

    monkeypatch.setattr(heard.Ending, "run", unlucky)
    await publish(world, 3)
    await asyncio.sleep(2 * BESIDE_S)

    assert lost["turns"] == 3
    assert await stock.out_rows() == []
    assert stock.outbox.stats().resent == 0


async def test_rows_that_cannot_be_ended_are_answered_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events are sent again until their rows are gone."""
    await world.start()
    stock, full = world["stock"], [True]
    submit = stock.writer.submit

    def refuses(turn: Turn) -> "asyncio.Future[None]":
        if full[0] and isinstance(turn, heard.Ending):
            raise RunAgain("a conflict")
        return submit(turn)

    async def away(turn: heard.Ending, tx: Transaction) -> None:
        raise RunAgain("a conflict")

    monkeypatch.setattr(stock.writer, "submit", refuses)
    monkeypatch.setattr(heard.Ending, "run", away)
    await publish(world)
    await asyncio.sleep(2 * BESIDE_S)
    left = len(await stock.out_rows())
    monkeypatch.undo()
    await world.settle(30)

    assert left == 1
    assert await stock.out_rows() == []
    assert stock.outbox.stats().resent == 1


async def test_what_waits_to_end_has_a_maximum(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More events than that end as all other letters do."""
    monkeypatch.setattr(heard, "HEARD_MAX", 4)
    await world.start()
    await publish(world, 3)
    await publish(world, 3)
    left = len(await world["stock"].out_rows())
    await asyncio.sleep(2 * BESIDE_S)

    assert left == 0, "the turn of the second three took the first along"
    assert await world["stock"].out_rows() == []
