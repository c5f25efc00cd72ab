"""Turns that share a transaction: the same outcome as one transaction each, and one commit."""

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from holdfast.consistency.safeguards import ALL_ON
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.turn import Effects, Own, RunAgain, Turn
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import LetterAnswer
from holdfast.engines.refusals import RefusedRow
from holdfast.errors import DeadlineExceeded, Overloaded, TransactionLost
from holdfast.storage import Sharing, Transaction, Write
from tests.consistency.messages import EFFECTS
from tests.consistency.world import World
from tests.contracts.rows import letter
from tests.virtual_loop import LoopClock, run_virtual

MONEY = EFFECTS["money"]
Op = tuple[str, int]
_TURNS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["insert", "insert", "add up", "inner", "message", "raise"]),
            st.integers(0, 4),
        ),
        max_size=4,
    ),
    max_size=8,
)


class Script(Turn):
    """A turn that does what a script says; rows may be in conflict with those of other turns."""

    def __init__(self, number: int, ops: list[Op], *, alone: bool = False) -> None:
        self.number, self.ops, self.alone = number, ops, alone

    async def run(self, tx: Transaction) -> None:
        """Follow the script."""
        self.effects.answers.append((1, LetterAnswer(letter(self.number).id, "reply")))
        for op, n in self.ops:
            if op == "insert":
                await tx.write([Write(MONEY, {"row": n, "what": f"turn {self.number}"})])
            elif op == "add up":
                count = len((await tx.execute(select(MONEY))).all())
                await tx.write([Write(MONEY, {"row": 100 * self.number + n, "what": str(count)})])
            elif op == "message":
                await tx.insert_messages([letter(n, body=str(self.number).encode())])
            elif op == "inner":
                await tx.savepoint()
                try:
                    await tx.write([Write(MONEY, {"row": n, "what": f"inner {self.number}"})])
                    await tx.release()
                except IntegrityError:
                    await tx.rollback()
            else:
                raise LookupError(f"turn {self.number}")


async def outcome(turns: list[list[Op]], *, together: bool) -> tuple[Any, ...]:
    """Run the turns; return what is stored, what was raised, what left, and the commits."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), Schedule(batch=128 if together else 1))
        await world.start()
        core = world["money"]
        left: list[int] = []
        writer = Writer(core.ledger, lambda done: left.extend(turn.number for turn in done))  # type: ignore[attr-defined]  # Scripts
        raised = await asyncio.gather(
            *(writer.perform(Script(n, ops)) for n, ops in enumerate(turns)),
            return_exceptions=True,
        )
        reader = await core.database.read()
        rows = (await reader.execute(select(MONEY.c.row, MONEY.c.what).order_by(MONEY.c.row))).all()
        await reader.close()
        letters = [(row.id, row.body) for row in await core.rows()]
        commits = writer.stats().commits
        await world.end()
        return [tuple(row) for row in rows], list(map(repr_of, raised)), left, letters, commits


def repr_of(raised: BaseException | None) -> str:
    """Return what can be compared of an exception."""
    return f"{type(raised).__name__}: {raised}"[:80]


@given(_TURNS)
@settings(deadline=None, max_examples=25)
def test_a_batch_is_like_one_transaction_each(turns: list[list[Op]]) -> None:
    """Rows, errors, letters and what leaves afterwards are the same; the commits are fewer."""
    *batched, few = run_virtual(outcome(turns, together=True))
    *alone, many = run_virtual(outcome(turns, together=False))

    assert batched == alone
    assert few <= 1
    assert few <= many


async def started(world: World) -> tuple[Writer, list[Turn]]:
    """Return a writer of the started world, and the turns that left after a commit."""
    await world.start()
    left: list[Turn] = []
    return Writer(world["money"].ledger, left.extend), left


def inserting(what: str, **more: Any) -> Own:
    """Return a turn that inserts one row."""

    async def insert(tx: Transaction, effects: Effects) -> None:
        await tx.write([Write(MONEY, {"what": what})])

    return Own(insert, **more)


async def test_turns_that_come_during_a_commit_share_the_next(world: World) -> None:
    """One commit for all that waited."""
    writer, _ = await started(world)
    first = asyncio.create_task(writer.perform(inserting("first")))
    await asyncio.sleep(0)
    await asyncio.gather(*(writer.perform(inserting(str(n))) for n in range(50)))
    await first

    assert writer.stats().turns == 51
    assert writer.stats().commits <= 2


async def test_a_turn_alone_shares_with_nobody(world: World) -> None:
    """It keeps its place in the order."""
    writer, _ = await started(world)
    await asyncio.gather(
        *(writer.perform(inserting(str(n), alone=n == 2)) for n in range(5)),
    )

    assert await world["money"].effects() == ["0", "1", "2", "3", "4"]
    assert writer.stats().commits == 3


async def test_a_lost_transaction_is_told_to_all_of_it(world: World) -> None:
    """Nothing of it is kept, nothing leaves, and the next one works."""
    writer, left = await started(world)

    async def lose(tx: Transaction, effects: Effects) -> None:
        raise TransactionLost("struck")

    raised = await asyncio.gather(
        writer.submit(inserting("before")),
        writer.submit(Own(lose)),
        writer.submit(inserting("after")),
        return_exceptions=True,
    )
    await writer.perform(inserting("the next one"))

    assert [type(exc) for exc in raised] == [RunAgain] * 3
    assert await world["money"].effects() == ["the next one"]
    assert (len(left), writer.stats().lost) == (1, 1)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (0, [Sharing.JOINED]),
        (1, [Sharing.JOINED, Sharing.APART]),
        (2, [Sharing.JOINED, Sharing.APART, *[Sharing.ALONE] * 3]),
    ],
)
async def test_who_has_lost_a_transaction_shares_less_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch, losses: int, expected: list[Sharing]
) -> None:
    """With others but apart, so that an error is found to be its own; then alone."""
    writer, _ = await started(world)
    database, begun, left = world["money"].database, list[Sharing](), [losses]
    begin = database.begin

    async def watched(*, sharing: Sharing = Sharing.ALONE) -> Any:
        begun.append(sharing)
        return await begin(sharing=sharing)

    async def unlucky(tx: Transaction, effects: Effects) -> None:
        if left[0]:
            left[0] -= 1
            raise TransactionLost("a conflict")

    monkeypatch.setattr(database, "begin", watched)
    turns = [Own(unlucky), inserting("one"), inserting("two")]
    await asyncio.gather(*(writer.perform(turn) for turn in turns))

    assert begun == expected
    assert await world["money"].effects() == ["one", "two"]


async def test_a_transaction_longer_than_the_floors_lag_is_lost(world: World) -> None:
    """Its ids may be below a floor that was announced meanwhile."""
    world.safe = ALL_ON
    writer, _ = await started(world)

    async def slow(tx: Transaction, effects: Effects) -> None:
        await tx.write([Write(MONEY, {"what": "slow"})])
        await asyncio.sleep(world.schedule.transaction_ms / 1000 + 1)

    with pytest.raises(RunAgain, match="longer than T"):
        await writer.perform(Own(slow))

    assert await world["money"].effects() == []


async def test_a_deadline_is_checked_before_the_first_statement(world: World) -> None:
    """A turn that waited too long is not begun, and its error says that nothing happened."""
    writer, _ = await started(world)
    loop = asyncio.get_running_loop()

    async def slow(tx: Transaction, effects: Effects) -> None:
        await asyncio.sleep(2)

    raised = await asyncio.gather(
        writer.perform(Own(slow, alone=True)),
        writer.perform(inserting("late", deadline=loop.time() + 1)),
        writer.perform(inserting("in time", deadline=loop.time() + 10)),
        return_exceptions=True,
    )

    assert raised[0] is raised[2] is None
    assert isinstance(raised[1], DeadlineExceeded)
    assert getattr(raised[1], "effect", "") == "none"
    assert await world["money"].effects() == ["in time"]


@pytest.mark.parametrize("safe", [True, False])
async def test_what_has_begun_is_finished(world: World, safe: bool) -> None:
    """The one who waits goes away in the middle: the turn is committed, and its effects leave."""
    if not safe:
        world.switch_off("shielded")
    writer, left = await started(world)

    async def insert(tx: Transaction, effects: Effects) -> None:
        await tx.write([Write(MONEY, {"what": "begun"})])
        task.cancel()
        await asyncio.sleep(1)

    task = asyncio.create_task(writer.perform(Own(insert)))
    with pytest.raises(asyncio.CancelledError):
        await task
    await writer.idle()

    assert await world["money"].effects() == (["begun"] if safe else [])
    assert len(left) == safe


async def test_what_nobody_waits_for_is_not_begun(world: World) -> None:
    """A client that went away before its turn came costs nothing."""
    writer, left = await started(world)

    async def slow(tx: Transaction, effects: Effects) -> None:
        await asyncio.sleep(1)

    first = asyncio.create_task(writer.perform(Own(slow, alone=True)))
    task = asyncio.create_task(writer.perform(inserting("never")))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, first, return_exceptions=True)
    await writer.idle()

    assert await world["money"].effects() == []
    assert len(left) == 1


async def test_an_error_is_told_after_the_commit(world: World) -> None:
    """It may rest on what another turn of the batch wrote: if that is lost, so is the error."""
    writer, _ = await started(world)
    fail = True

    async def conflict(tx: Transaction, effects: Effects) -> None:
        await tx.write([Write(MONEY, {"row": 1, "what": "twice"})])

    async def lose(tx: Transaction, effects: Effects) -> None:
        if fail:
            raise TransactionLost("struck")

    raised = await asyncio.gather(
        *(writer.submit(Own(turn)) for turn in (conflict, conflict, lose)),
        return_exceptions=True,
    )
    fail = False
    again = await asyncio.gather(
        *(writer.submit(Own(turn)) for turn in (conflict, conflict, lose)),
        return_exceptions=True,
    )

    assert [type(exc) for exc in raised] == [RunAgain] * 3
    assert [type(exc) for exc in again] == [type(None), RefusedRow, type(None)]


async def test_whoever_is_told_of_a_commit_may_fail(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a metric, a limit, or in what leaves: it is committed, and nobody waits for ever."""
    await world.start()

    def broken(*told: object) -> None:
        raise LookupError("a bug")

    writer = Writer(world["money"].ledger, broken, observe=broken, waited=broken)
    async with asyncio.timeout(5):
        await asyncio.gather(*(writer.perform(inserting(str(n))) for n in range(3)))
        await writer.perform(inserting("later"))

    assert await world["money"].effects() == ["0", "1", "2", "later"]
    assert caplog.text.count("LookupError: a bug") >= 6
    assert {record.name for record in caplog.records} == {"holdfast"}


async def test_too_many_waiting_turns_are_refused(world: World) -> None:
    """The queue has a maximum; the error says when to come again."""
    await world.start()
    writer = Writer(world["money"].ledger, lambda turns: None, waiting_max=2)
    tasks = [asyncio.create_task(writer.perform(inserting(str(n)))) for n in range(4)]
    raised = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(exc) for exc in raised] == [type(None), type(None), Overloaded, Overloaded]
    assert isinstance(raised[3], Overloaded) and raised[3].headers == {"Retry-After": "1"}
    assert await world["money"].effects() == ["0", "1"]


async def test_a_database_that_does_not_begin_loses_nothing(world: World) -> None:
    """Each caller is told to run again, and the writer lives on."""
    writer, _ = await started(world)
    database = world["money"].database
    begin = database.begin

    def broken(**_: object) -> Coroutine[Any, Any, Any]:
        raise OSError("the disk is gone")

    database.begin = broken  # type: ignore[method-assign]  # a broken disk
    with pytest.raises(RunAgain, match="the disk is gone"):
        await writer.perform(inserting("never"))
    database.begin = begin  # type: ignore[method-assign]
    await writer.perform(inserting("fine"))

    assert await world["money"].effects() == ["fine"]


async def test_the_batch_is_bounded(world: World) -> None:
    """At most `schedule.batch` turns share a transaction."""
    world.schedule = replace(world.schedule, batch=10)
    writer, _ = await started(world)
    await asyncio.gather(*(writer.perform(inserting(str(n))) for n in range(35)))

    assert writer.stats().commits == 4


async def test_the_duration_of_a_commit_is_finer_than_the_time_of_the_loop(world: World) -> None:
    """That of uvloop has whole milliseconds, and stands still within a round of the loop."""

    class Fine(LoopClock):
        ticks = 0

        def monotonic(self) -> float:
            """Return a later time at each look."""
            self.ticks += 1
            return super().monotonic() + self.ticks * 0.000_3

    await world.start()
    seen: list[tuple[float, float]] = []
    ledger = replace(world["money"].ledger, clock=Fine())
    writer = Writer(
        ledger, lambda turns: None, observe=lambda _, s, waited_s: seen.append((s, waited_s))
    )
    await writer.perform(inserting("a row"))

    [(took_s, waited_s)] = seen
    assert 0.000_2 < waited_s < took_s < 0.1


async def test_who_swallows_the_end_of_the_writer_keeps_nothing(world: World) -> None:
    """The one who waits is told to run it again; nothing is committed behind the wish to stop."""
    writer, left = await started(world)
    begun = asyncio.Event()

    async def stubborn(tx: Transaction, effects: Effects) -> None:
        await tx.write([Write(MONEY, {"what": "stubborn"})])
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

    waiting = writer.submit(Own(stubborn))
    await begun.wait()
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "money writer"]
    task.cancel()
    with pytest.raises(RunAgain):
        await waiting
    await writer.perform(inserting("the next one"))

    assert await world["money"].effects() == ["the next one"]
    assert len(left) == 1


async def test_what_is_our_own_is_run_again_when_it_is_lost(world: World) -> None:
    """A start, or an operator's command, does not end at the first conflict; it ends at last."""
    writer, _ = await started(world)
    runs = 0

    async def twice(tx: Transaction, effects: Effects) -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise TransactionLost("a conflict")
        await tx.write([Write(MONEY, {"what": "kept"})])

    async def never(tx: Transaction, effects: Effects) -> None:
        raise TransactionLost("for good")

    await writer.perform_own(twice)
    with pytest.raises(RunAgain, match="for good"):
        await writer.perform_own(never)

    assert (runs, await world["money"].effects()) == (3, ["kept"])
