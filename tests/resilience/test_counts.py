"""Every count of every defence: each event counts once, and nothing else does."""

import asyncio
import random

import pytest

from holdfast.errors import BulkheadFull, PoolFull, Unreachable
from holdfast.resilience import (
    BreakerPolicy,
    BreakerStats,
    BudgetPolicy,
    BudgetStats,
    Bulkhead,
    BulkheadPolicy,
    BulkheadStats,
    CircuitBreaker,
    Edge,
    EdgePolicy,
    LimitsStats,
    MemoryLimits,
    RetryBudget,
    RetryPolicy,
    Room,
)
from tests.virtual_loop import LoopClock


def test_a_breaker_counts_calls_failures_openings_and_refusals() -> None:
    """The window forgets when it opens; the counts since the start do not."""
    breaker = CircuitBreaker(
        BreakerPolicy(calls_min=5, open_s=5.0, jitter=0.0, probes=1), random.Random(7)
    )
    assert breaker.stats() == BreakerStats("closed", 0, 0, 0, 0)
    for is_good in (True, True, False, False):
        settle = breaker.succeeded if is_good else breaker.failed
        settle(breaker.try_pass(0.0) or 0, 0.0)
    assert breaker.stats() == BreakerStats("closed", 4, 2, 0, 0)
    for turn in (1, 2):
        breaker.failed(breaker.try_pass(turn * 5.0) or 0, turn * 5.0)
        assert breaker.try_pass(turn * 5.0) is None
        assert breaker.stats() == BreakerStats("open", 0, 0, turn, turn)


def test_a_budget_counts_calls_retries_and_refusals() -> None:
    """From time zero on."""
    budget = RetryBudget(BudgetPolicy(ratio=0.5, floor_per_s=0.0))
    assert budget.stats(0.0) == BudgetStats(0, 0, 0, 0.0)
    for turn in (1, 2):
        budget.deposit(0.0)
        budget.deposit(0.0)
        assert budget.try_withdraw(0.0)
        assert not budget.try_withdraw(0.0)
        assert budget.stats(0.0) == BudgetStats(2 * turn, turn, turn, 0.0)


async def test_a_bulkhead_counts_who_entered_and_who_did_not() -> None:
    """At once, from the queue, by a full queue, and by waiting in vain."""
    bulkhead = Bulkhead(BulkheadPolicy(calls_max=1, queue_max=1, wait_s=1.0))
    assert bulkhead.stats() == BulkheadStats(0, 0, 0, 0)
    for turn in (0, 1):
        entered, refused = 2 * turn, 2 * turn
        await bulkhead.enter()
        assert bulkhead.stats() == BulkheadStats(1, 0, entered + 1, refused)
        waiting = asyncio.create_task(bulkhead.enter())
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFull):
            await bulkhead.enter()
        assert bulkhead.stats() == BulkheadStats(1, 1, entered + 1, refused + 1)
        bulkhead.leave()
        await waiting
        with pytest.raises(BulkheadFull):
            await bulkhead.enter()
        assert bulkhead.stats() == BulkheadStats(1, 0, entered + 2, refused + 2)
        bulkhead.leave()
        assert bulkhead.stats() == BulkheadStats(0, 0, entered + 2, refused + 2)


async def test_a_room_counts_who_entered_and_who_did_not() -> None:
    """A place that was free, a deadline that has passed, a full queue, a wait in vain."""
    room = Room("reports", places=1, queue_max=0)
    now = asyncio.get_running_loop().time
    assert room.stats() == BulkheadStats(0, 0, 0, 0)
    for turn in (0, 1):
        await room.enter(deadline=None, patient=False)
        assert room.stats() == BulkheadStats(1, 0, turn + 1, 3 * turn)
        for deadline in (now(), None):
            with pytest.raises(PoolFull):
                await room.enter(deadline=deadline, patient=False)
        with pytest.raises(PoolFull):
            await room.enter(deadline=now() + 1.0, patient=True)
        assert room.stats() == BulkheadStats(1, 0, turn + 1, 3 * turn + 3)
        room.leave(0.0)
        assert room.stats() == BulkheadStats(0, 0, turn + 1, 3 * turn + 3)


async def test_an_edge_counts_calls_and_tries(clock: LoopClock) -> None:
    """Three tries of each call; the budget and the breaker hear of every one."""
    policy = EdgePolicy(
        retry=RetryPolicy(tries_max=3, base_s=0.001, cap_s=0.001),
        breaker=BreakerPolicy(calls_min=100),
    )
    edge = Edge("processor", policy, clock, random.Random(7))

    async def unreachable(limit_s: float) -> None:
        raise Unreachable("no route")

    for turn in (1, 2):
        with pytest.raises(Unreachable):
            await edge.call(unreachable, deadline=None, idempotent=True)
        stats = edge.stats()
        assert (stats.calls, stats.tries) == (turn, 3 * turn)
        assert stats.breaker == BreakerStats("closed", 3 * turn, 3 * turn, 0, 0)
        assert stats.budget is not None
        assert (stats.budget.retries, stats.budget.refused) == (2 * turn, 0)
        assert stats.bulkhead == BulkheadStats(0, 0, turn, 0)


async def test_limits_count_keys_and_what_they_were_told(clock: LoopClock) -> None:
    """Allowed, refused, and what was forgotten before it was full again."""
    limits = MemoryLimits(clock, keys_max=1)
    assert limits.stats() == LimitsStats(0, 0, 0, 0)
    for turn in (1, 2):
        for key in ("ann", "ann", "bob", "bob"):
            await limits.try_take(key, 1.0, 1)
        assert limits.stats() == LimitsStats(1, 2 * turn, 2 * turn, 2 * turn - 1)
