"""Every policy takes what stands exactly at its bounds, and nothing beyond them."""

from dataclasses import dataclass, fields
from typing import Any

import pytest

from holdfast.resilience import (
    BreakerPolicy,
    BudgetPolicy,
    BulkheadPolicy,
    EdgePolicy,
    MemoryLimits,
    RetryPolicy,
    take,
)
from tests.virtual_loop import LoopClock

TINY, NAN = 1e-9, float("nan")


@dataclass(frozen=True)
class Bounds:
    """One field of a policy: values at its bounds, and those just outside."""

    policy: type[Any]
    field: str
    good: tuple[float, ...]
    bad: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.policy.__name__}.{self.field}"


BOUNDS = [
    Bounds(BreakerPolicy, "window_s", (TINY,), (0.0, -TINY, NAN)),
    Bounds(BreakerPolicy, "calls_min", (1,), (0,)),
    Bounds(BreakerPolicy, "failure_ratio", (TINY, 1.0), (0.0, 1.0 + TINY, NAN)),
    Bounds(BreakerPolicy, "open_s", (TINY,), (0.0, -TINY, NAN)),
    Bounds(BreakerPolicy, "jitter", (0.0, 1.0 - TINY), (-TINY, 1.0, NAN)),
    Bounds(BreakerPolicy, "probes", (1,), (0,)),
    Bounds(BreakerPolicy, "probe_life_s", (TINY,), (0.0, -TINY, NAN)),
    Bounds(BreakerPolicy, "patience_s", (0.0,), (-TINY, NAN)),
    Bounds(BudgetPolicy, "ratio", (0.0,), (-TINY, NAN)),
    Bounds(BudgetPolicy, "floor_per_s", (0.0,), (-TINY, NAN)),
    Bounds(BudgetPolicy, "ttl_s", (TINY,), (0.0, NAN)),
    Bounds(BulkheadPolicy, "calls_max", (1,), (0,)),
    Bounds(BulkheadPolicy, "queue_max", (0,), (-1,)),
    Bounds(BulkheadPolicy, "wait_s", (0.0,), (-TINY, NAN)),
    Bounds(EdgePolicy, "timeout_s", (TINY,), (0.0, -TINY, NAN)),
    Bounds(RetryPolicy, "tries_max", (1,), (0,)),
    Bounds(RetryPolicy, "base_s", (TINY, 2.0), (0.0, 2.0 + TINY, NAN)),
    Bounds(RetryPolicy, "cap_s", (0.05,), (0.05 - TINY, NAN)),
    Bounds(RetryPolicy, "hint_max_s", (0.0,), (-TINY, NAN)),
]


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_a_policy_holds_its_bounds(bounds: Bounds) -> None:
    """The value at a bound is kept as it is; the next one is refused by name."""
    for value in bounds.good:
        assert getattr(bounds.policy(**{bounds.field: value}), bounds.field) == value
    for value in bounds.bad:
        with pytest.raises(ValueError, match=bounds.field):
            bounds.policy(**{bounds.field: value})


def test_every_number_of_a_policy_is_bounded() -> None:
    """A field that is not in the table is one that nobody has thought about."""
    policies = (BreakerPolicy, BudgetPolicy, BulkheadPolicy, EdgePolicy, RetryPolicy)
    numbers = {
        (policy, field.name)
        for policy in policies
        for field in fields(policy)
        if field.type in (int, float)
    }

    assert {(bounds.policy, bounds.field) for bounds in BOUNDS} == numbers


def test_a_limit_and_its_table_hold_their_bounds(clock: LoopClock) -> None:
    """The slowest rate, a burst of one, room for one key."""
    taken, bucket = take(None, 1000.0, TINY, 1)

    assert (taken.allowed, bucket.tokens) == (True, 0.0)
    assert MemoryLimits(clock, keys_max=1).stats().keys == 0
