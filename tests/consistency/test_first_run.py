"""The first run of a parcel's letters: without tasks where no handler waits for anything."""

import asyncio
from collections import Counter
from contextvars import ContextVar
from typing import Any

import pytest

from holdfast.consistency.handling import HandlerTurn
from holdfast.consistency.turn import RunAgain
from holdfast.consistency.unit import Unit
from holdfast.pump import may_wait
from holdfast.storage import Transaction
from tests.consistency.messages import EFFECTS, Note, Pay
from tests.consistency.world import Reaching, World

seen: ContextVar[str] = ContextVar("seen", default="nothing")


async def send(world: World, *messages: Any) -> None:
    """Send letters in one parcel."""

    def work(tx: Unit) -> None:
        for message in messages:
            tx.send(message)

    await world["shop"].write(work)
    await world.settle(30)


def answers_for_nothing(turn: HandlerTurn, error: Exception) -> bool:
    """What a turn raises is raised."""
    return False


async def test_letters_whose_handlers_wait_for_nothing_share_a_task(world: World) -> None:
    """Those of the parcel run in its own; each has its context variables all the same."""
    tasks, found = set[Any](), list[str]()

    async def note(command: Note, tx: Unit, outside: Reaching) -> None:
        tasks.add(asyncio.current_task())
        found.append(seen.get())
        seen.set(command.text)
        tx.insert(EFFECTS["money"], id=tx.new_id(), what=command.text)

    world.handlers[Note] = note
    await world.start()
    await send(world, *(Note(text=str(n)) for n in range(5)))

    assert len(tasks) == 1
    assert found == ["nothing"] * 5
    assert await world["money"].effects() == [str(n) for n in range(5)]


async def test_who_may_wait_has_a_task_of_its_own(world: World) -> None:
    """A time limit that is set in a first step ends that handler, and no other."""
    tasks, ended = set[Any](), list[str]()

    async def note(command: Note, tx: Unit, outside: Reaching) -> None:
        tasks.add(asyncio.current_task())
        if command.text == "slow":
            try:
                async with asyncio.timeout(1):
                    await asyncio.sleep(5)
            except TimeoutError:
                ended.append(command.text)
        tx.insert(EFFECTS["money"], id=tx.new_id(), what=command.text)

    world.handlers[Note] = note
    await world.start()
    await send(world, Note(text="slow"), Note(text="quick"))

    assert len(tasks) == 2
    assert ended == ["slow"]
    assert sorted(await world["money"].effects()) == ["quick", "slow"]


async def test_letters_of_one_parcel_keep_their_order(world: World) -> None:
    """One that may wait is not overtaken by those that do not."""

    async def waits(command: Pay, tx: Unit, outside: Reaching) -> int:
        await tx.execute(EFFECTS["money"].insert().values(what="pay"))
        return 5

    world.handlers[Pay] = waits
    await world.start()
    await send(world, Note(), Pay(), Note())

    assert await world["money"].effects() == ["note", "pay", "note"]


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_lost_transaction_runs_them_again(
    world: World, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """Each once in the end: what a run had buffered is not kept for the next."""
    runs = Counter[int]()
    run = HandlerTurn.run

    async def unlucky(turn: HandlerTurn, tx: Transaction) -> None:
        runs[turn.lost] += 1
        if turn.lost < lost:
            raise RunAgain("a conflict")
        await run(turn, tx)

    monkeypatch.setattr(HandlerTurn, "run", unlucky)
    monkeypatch.setattr(HandlerTurn, "answers_for", answers_for_nothing)
    await world.start()
    await send(world, *(Note() for _ in range(4)))

    assert runs == dict.fromkeys(range(lost + 1), 4)
    assert await world["money"].effects() == ["note"] * 4
    assert world["shop"].outbox.stats().resent == 0


async def test_a_full_writer_leaves_nothing_of_the_first_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn that was prepared and not taken begins anew, with another unit of work."""
    await world.start()
    writer = world["money"].writer
    submit, refused = writer.submit, Counter[str]()

    def full(turn: Any) -> "asyncio.Future[None]":
        if isinstance(turn, HandlerTurn) and not turn.lost:
            refused["turns"] += 1
            raise RunAgain("the writer was stopped")
        return submit(turn)

    monkeypatch.setattr(writer, "submit", full)
    await send(world, Note(), Note())

    assert refused["turns"] == 2
    assert await world["money"].effects() == ["note", "note"]


async def test_a_parcel_that_is_given_up_leaves_no_letter_under_way(world: World) -> None:
    """What has begun is finished; the next copy of what has not is handled."""
    await world.start()
    money, gate = world["money"], asyncio.Event()
    perform = money.writer.perform_own

    async def holds(tx: Transaction, effects: object) -> None:
        await gate.wait()

    blocking = asyncio.create_task(perform(holds))
    await asyncio.sleep(0.01)
    delivered = [raw for to, _, raw in world.broker.parcels if to == "money"]
    await world["shop"].write(lambda tx: (tx.send(Note()), tx.send(Note())))
    await asyncio.sleep(0.01)
    [raw] = [raw for to, _, raw in world.broker.parcels if to == "money" and raw not in delivered]
    for task in asyncio.all_tasks():
        if "deliver" in repr(task.get_coro()):
            task.cancel()
    await asyncio.sleep(0.01)
    gate.set()
    await blocking
    await money.inbox.deliver(raw, False, "")
    await world.settle(30)

    assert await money.effects() == ["note", "note"]


def test_what_may_wait_is_read_from_its_code() -> None:
    """A function that awaits, a wrapper that calls one, and what is no function may."""

    async def never(tx: Unit) -> None:
        tx.insert(EFFECTS["money"], what="x")

    async def awaits(tx: Unit) -> None:
        await tx.execute(EFFECTS["money"].select())

    async def within(tx: Unit) -> None:
        async with tx.savepoint():
            tx.insert(EFFECTS["money"], what="x")

    async def over(tx: Any) -> list[Any]:
        return [each async for each in tx]

    def wraps(tx: Unit) -> Any:
        return awaits(tx)

    class Called:
        async def __call__(self, tx: Unit) -> None: ...

    assert not may_wait(never)
    assert [may_wait(each) for each in (awaits, within, over, wraps, Called())] == [True] * 5
