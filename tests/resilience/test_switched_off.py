"""What each defence prevents: the same bad day with it and without it."""

import asyncio
import random
from dataclasses import replace

import pytest

from holdfast.errors import HoldfastError, Unreachable
from holdfast.resilience import (
    BreakerPolicy,
    BudgetPolicy,
    BulkheadPolicy,
    Edge,
    EdgePolicy,
    MemoryLimits,
    RetryBudget,
    RetryPolicy,
)
from tests.virtual_loop import LoopClock

PLAIN = EdgePolicy(
    timeout_s=2.0,
    retry=RetryPolicy(tries_max=3, base_s=0.05),
    budget=None,
    breaker=None,
    bulkhead=None,
)


class Day:
    """An other side that is hung or gone, and 50 callers a second for ten seconds."""

    def __init__(self, policy: EdgePolicy, clock: LoopClock, *, hang_s: float | None) -> None:
        self.edge = Edge("processor", policy, clock, random.Random(7))
        self.hang_s = hang_s
        self.sent = self.inside = self.inside_most = 0
        self.waited_s: list[float] = []

    async def operation(self, limit_s: float) -> None:
        self.sent += 1
        self.inside += 1
        self.inside_most = max(self.inside_most, self.inside)
        try:
            if self.hang_s is not None:
                await asyncio.sleep(self.hang_s)
            else:
                raise Unreachable("gone")
        finally:
            self.inside -= 1

    async def caller(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(HoldfastError):
            await self.edge.call(self.operation, deadline=begun + 5.0, idempotent=True)
        self.waited_s.append(loop.time() - begun)

    async def run(self) -> "Day":
        async with asyncio.TaskGroup() as group:
            for _ in range(500):
                group.create_task(self.caller())
                await asyncio.sleep(0.02)
        return self


async def test_without_a_budget_an_outage_multiplies_the_load(clock: LoopClock) -> None:
    """500 calls become 1500 tries; with a budget of 10% + 1/s they stay below 570."""
    budgeted = replace(PLAIN, budget=BudgetPolicy(ratio=0.1, floor_per_s=1.0))

    without = await Day(PLAIN, clock, hang_s=None).run()
    with_it = await Day(budgeted, clock, hang_s=None).run()

    assert without.sent == 1500
    assert 540 <= with_it.sent <= 570


async def test_without_a_breaker_every_caller_waits_for_a_hung_side(clock: LoopClock) -> None:
    """With it most are answered at once, and the other side gets a small part of the calls."""
    plain = replace(PLAIN, retry=None)
    guarded = replace(plain, breaker=BreakerPolicy())

    without = await Day(plain, clock, hang_s=60.0).run()
    with_it = await Day(guarded, clock, hang_s=60.0).run()

    assert without.sent == 500
    assert min(without.waited_s) == pytest.approx(2.0)
    assert with_it.sent < 150
    assert sorted(with_it.waited_s)[250] == 0.0


async def test_without_a_bulkhead_a_hung_side_fills_the_process(clock: LoopClock) -> None:
    """Calls pile up to rate * time-out; with it there are never more than its places."""
    plain = replace(PLAIN, retry=None)
    walled = replace(plain, bulkhead=BulkheadPolicy(calls_max=10, queue_max=5, wait_s=0.5))

    without = await Day(plain, clock, hang_s=60.0).run()
    with_it = await Day(walled, clock, hang_s=60.0).run()

    assert without.inside_most >= 100
    assert with_it.inside_most == 10


async def test_without_retries_a_blip_is_seen_by_callers(clock: LoopClock) -> None:
    """One try in four fails for a moment: 1 in 4 calls fails without retries, 1 in 64 with."""
    failed: dict[bool, int] = {}
    for retries in (False, True):
        policy = PLAIN if retries else replace(PLAIN, retry=None)
        edge, chance = Edge("x", policy, clock, random.Random(7)), random.Random(7)

        async def flaky(_: float, chance: random.Random = chance) -> None:
            if chance.random() < 0.25:
                raise Unreachable("blip")

        calls = [edge.call(flaky, deadline=None, idempotent=True) for _ in range(1000)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        failed[retries] = sum(isinstance(outcome, Unreachable) for outcome in outcomes)

    assert failed[False] > 200
    assert failed[True] < 40


async def test_without_a_deadline_work_is_done_for_nobody(clock: LoopClock) -> None:
    """A call that comes too late to be of use is sent without a deadline, and not with one."""
    loop = asyncio.get_running_loop()
    sent: list[bool] = []

    async def note(_: float) -> None:
        sent.append(True)

    edge = Edge("x", PLAIN, clock, random.Random(7))
    too_late = loop.time() - 0.1

    await edge.call(note, deadline=None, idempotent=True)
    with pytest.raises(HoldfastError, match="deadline passed"):
        await edge.call(note, deadline=too_late, idempotent=True)

    assert sent == [True]


async def test_without_a_limit_one_caller_takes_everything(clock: LoopClock) -> None:
    """Ten seconds of 100 requests a second: 1000 without a limit, burst + rate * time with."""
    limits = MemoryLimits(clock)
    allowed = 0
    for _ in range(1000):
        allowed += (await limits.try_take("greedy", 5.0, 20)).allowed
        await asyncio.sleep(0.01)

    assert allowed == 20 + 5 * 10 - 1  # the last token is back after the last request


def goodput_after_a_spike(budget: RetryBudget | None) -> list[float]:
    """Return calls answered in each second, with a spike of demand in seconds 10 and 11.

    The other side can do 100 calls/s; beyond that it wastes work, and an ever smaller share
    of the tries is answered in time. Each call is tried up to three times, a second apart.
    """
    answered: list[float] = []
    again: list[int] = [0, 0]  # how many come for the second and for the third time
    for second in range(60):
        fresh = 300 if second in (10, 11) else 80
        tries = [fresh, *again]
        if budget is not None:
            for _ in range(fresh):
                budget.deposit(1000.0 + second)
        load = sum(tries)
        share = min(1.0, (100 / load) ** 3)
        answered.append(load * share)
        failed = [round(count * (1 - share)) for count in tries[:2]]
        if budget is not None:
            failed = [
                sum(budget.try_withdraw(1000.5 + second) for _ in range(count)) for count in failed
            ]
        again = failed
    return answered


def test_without_a_budget_a_spike_becomes_a_collapse_that_stays() -> None:
    """Two seconds of overload: retries alone keep it down for good; a budget lets it recover."""
    without = goodput_after_a_spike(None)
    with_it = goodput_after_a_spike(RetryBudget(BudgetPolicy(ratio=0.1, floor_per_s=1.0)))

    assert without[5] == with_it[5] == 80
    assert without[-1] < 40
    assert with_it[-1] == 80
