"""Handlers that work for longer than a lease: one at a time, and only its owner decides."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from holdfast.consistency.leases import look_every_s
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.turn import Effects, Own
from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import State
from holdfast.storage import Transaction
from tests.consistency.faults import WatchedTransaction
from tests.consistency.messages import Note, Pay
from tests.consistency.world import Reaching, Service, World, effect


@dataclass
class Work:
    """A handler that takes its time, and counts itself."""

    seconds: float
    begun: int = 0
    ended: int = 0
    under_way: int = 0
    most: int = 0
    fails: list[str] = field(default_factory=list[str])

    async def __call__(self, command: Any, tx: Unit, outside: Reaching) -> Any:
        """Work, and write that it was done."""
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        if self.fails:
            raise LookupError(self.fails.pop())
        self.ended += 1
        return await effect("money", "worked")(command, tx, outside)


async def rival(world: World, *, safe: Safeguards = ALL_ON) -> Service:
    """Start a second process of `money` on the same database; parcels go to it from now on."""
    other = Service(world, "money")
    other.ledger.safe = safe
    await other.start()
    return other


def claim_no_more(core: Service) -> None:
    """Leave what is due to the other process."""
    core.relay._stopping = True  # pyright: ignore[reportPrivateUsage]  # and nothing else of a stop


async def end(*cores: Service) -> None:
    """End processes that the world does not know."""
    for core in cores:
        await core.relay.stop()
        core.core.leases.close()
        await core.database.close()


def told(world: World) -> list[str]:
    """Return what was said of leases."""
    assert all(cause is not None for event, cause in world.causes if event.startswith("letter."))
    return [event for event, _ in world.notices if event.startswith("letter.")]


@pytest.mark.parametrize("renewed", [True, False])
@pytest.mark.parametrize("again", [True, False])
async def test_a_handler_that_works_long_runs_once(
    world: World, renewed: bool, again: bool
) -> None:
    """Whether its letter was claimed or came for the first time, and is sent again meanwhile."""
    if not renewed:
        world.switch_off("lease_renewed")
    work = world.handlers[Note] = Work(seconds=200)
    await world.start()
    world.broker.fate = lambda to, lane, parcel: (again,)
    await world.send(Note())
    await world.pass_time(2)
    other = await rival(world, safe=world.safe)
    await world.pass_time(450)
    most, effects = work.most, await world["money"].effects()
    await end(other)

    assert effects == ["worked"]
    assert (most == 1) is renewed
    assert (work.begun == 1) is renewed
    assert ("letter.takes_long" in told(world)) is renewed


@pytest.mark.parametrize("fenced", [True, False])
async def test_who_has_lost_the_lease_does_not_decide(world: World, fenced: bool) -> None:
    """A process that stood still fails at last; the one that took over has reached outside."""
    if not fenced:
        world.switch_off("lease_fenced")
    slow = world.safe.without("lease_renewed")  # as if it had stood still
    stuck = asyncio.Event()
    runs: list[int] = []

    async def pay(command: Pay, tx: Unit, outside: Reaching) -> int:
        runs.append(len(runs))
        if len(runs) == 1:
            await asyncio.sleep(60)
            raise LookupError("it had stood still")
        if len(runs) == 2:
            await outside.charge(command.cents)
        await stuck.wait()
        return 5

    world.handlers[Pay] = pay
    world.broker.fate = lambda to, lane, parcel: (True,)
    await world.start()
    world["money"].ledger.safe = slow
    await world.send(Pay())
    await world.pass_time(10)
    claim_no_more(world["money"])
    other = await rival(world, safe=world.safe)
    await world.pass_time(100)
    [row] = await other.rows(State.DUE)
    stuck.set()
    begun = len(runs)
    await end(other)

    assert row.reached is fenced
    assert begun == 2 or not fenced


async def test_a_lost_lease_ends_the_work_and_is_said(world: World) -> None:
    """Whoever claimed the row keeps it; what waits here is ended, and nothing of it is kept."""
    work = world.handlers[Note] = Work(seconds=100)
    world.broker.fate = lambda to, lane, parcel: (True,)
    await world.start()
    await world.send(Note())
    await world.pass_time(5)
    claim_no_more(world["money"])
    other = await rival(world)
    await make_due(other)
    await world.pass_time(20)

    assert "letter.lease_lost" in told(world)
    assert world["money"].core.leases.stats().lost == 1
    assert (work.begun, work.under_way) == (2, 1)

    await world.pass_time(100)

    assert await other.effects() == ["worked"]
    assert work.ended == 1
    await end(other)


async def test_a_look_that_fails_is_not_the_last_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was that a renewal raised: the next one keeps the letter."""
    work = world.handlers[Note] = Work(seconds=200)
    renew, failed = WatchedTransaction.renew, Counter[str]()

    async def broken(self: WatchedTransaction, rows: Any, lease_ms: int) -> Any:
        if failed.total() < 2:
            failed["renew"] += 1
            raise LookupError("a bug, or a queue that is full")
        return await renew(self, rows, lease_ms)

    monkeypatch.setattr(WatchedTransaction, "renew", broken)
    world.broker.fate = lambda to, lane, parcel: (True,)
    await world.start()
    await world.send(Note())
    await world.pass_time(250)

    assert failed.total() == 2
    assert world["money"].core.leases.stats().renewed > 0
    assert await world["money"].effects() == ["worked"]
    assert (work.begun, work.most) == (1, 1)


async def make_due(core: Service) -> None:
    """Let every row be claimed now, as a clock that went wrong would."""

    async def write(tx: Transaction, effects: Effects) -> None:
        rows = [row.copy() for row in await core.rows(State.DUE)]
        for row in rows:
            row.due_at = tx.now_ms
        await tx.postpone(rows)

    await core.writer.perform(Own(write))


async def test_a_claim_of_ones_own_is_no_try_and_no_loss(world: World) -> None:
    """A process that could not renew in time claims the row itself: the work goes on."""
    world.switch_off("lease_renewed")
    work = world.handlers[Note] = Work(seconds=100, fails=["once"])
    world.broker.fate = lambda to, lane, parcel: (True,)
    await world.start()
    await world.send(Note())
    await world.pass_time(102)
    [row] = await world["money"].rows(State.DUE)
    await world.pass_time(200)

    assert row.error is not None and row.error.startswith("try 1 ")
    assert await world["money"].effects() == ["worked"]
    assert (work.begun, work.most) == (2, 1)


async def test_a_letter_that_reaches_late_is_marked_all_the_same(world: World) -> None:
    """The row that the lease has made is the one that `reached` is written to."""
    world.schedule = Schedule(saga_timeout_ms=600_000)
    seen: list[bool] = []

    async def pay(command: Pay, tx: Unit, outside: Reaching) -> int:
        await asyncio.sleep(60)
        charged = await outside.charge(command.cents)
        seen.extend(row.reached for row in await world["money"].rows(State.DUE))
        await asyncio.sleep(60)
        return charged

    world.handlers[Pay] = pay
    await world.start()
    await world.send(Pay())
    await world.settle(300)

    assert seen == [True]
    assert len(world.till.calls) == 1


async def test_work_without_an_end_is_ended_and_counted(world: World) -> None:
    """A handler that never comes to its first statement is poison, however patient we are."""
    world.schedule = replace(world.schedule, work_ms=60_000, tries_max=2)
    work = world.handlers[Note] = Work(seconds=10_000_000)
    await world.start()
    await world.send(Note())
    await world.pass_time(200)
    [dead] = await world["money"].rows(State.DEAD)

    assert work.begun == 2
    assert dead.error is not None and "Note.v1 worked for 60 s before its first" in dead.error


@pytest.mark.parametrize("lease_ms", [300, 3_000, 30_000])
@pytest.mark.parametrize("resend_ms", [200, 5_000, 60_000])
def test_two_looks_fit_into_a_lease(lease_ms: int, resend_ms: int) -> None:
    """And two into half of a sender's patience: at the second a letter gets its row."""
    pause_s = look_every_s(Schedule(lease_ms=lease_ms, resend_ms=resend_ms))

    assert lease_ms / 3000 + 2 * pause_s <= lease_ms / 1000 + 1e-9
    assert 2 * pause_s <= resend_ms / 2000 + 1e-9


async def test_a_look_writes_only_what_is_due_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten looks in a lease most find that nothing is to be renewed, and ask no database."""
    renew, asked = WatchedTransaction.renew, list[int]()

    async def counted(self: WatchedTransaction, rows: Any, lease_ms: int) -> Any:
        asked.append(len(rows))
        return await renew(self, rows, lease_ms)

    monkeypatch.setattr(WatchedTransaction, "renew", counted)
    work = world.handlers[Note] = Work(seconds=200)
    world.broker.fate = lambda to, lane, parcel: (True,)
    await world.start()
    await world.send(Note())
    await world.pass_time(250)

    assert look_every_s(world.schedule) * 3 < world.schedule.lease_ms / 3000
    assert work.ended == 1
    assert len(asked) <= 200 / (world.schedule.lease_ms / 3000)


async def test_a_late_copy_gets_no_row_however_long_it_is_worked_on(world: World) -> None:
    """It is below its sender's floor: a row would be a second effect, and never be forgotten."""
    world.schedule = replace(world.schedule, transaction_ms=2_000)
    work = world.handlers[Note] = Work(seconds=1)
    await world.start()
    await world.send(Note())
    await world.settle(30)
    await world.pass_time(30)
    late = next(raw for to, _, raw in world.broker.parcels if to == "money")
    forgotten = await world["money"].rows()
    work.seconds = 20
    await world.broker.deliver["money", "work"](late, False, "shop")
    await world.pass_time(60)

    assert forgotten == []
    assert (work.begun, work.ended) == (2, 1), "it is ended at the look that finds it settled"
    assert await world["money"].effects() == ["worked"]
    assert await world["money"].rows() == []
