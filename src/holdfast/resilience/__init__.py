"""Defences of a call that may fail: each usable alone, and together in an Edge."""

from holdfast.resilience.breaker import (
    BreakerPolicy,
    BreakerState,
    BreakerStats,
    CircuitBreaker,
    Health,
    health,
)
from holdfast.resilience.budget import BudgetPolicy, BudgetStats, RetryBudget
from holdfast.resilience.bulkhead import Bulkhead, BulkheadPolicy, BulkheadStats
from holdfast.resilience.concurrency import ConcurrencyLimits, RoutePlaces, TierStats
from holdfast.resilience.deadline import DeadlinePassed, remaining_s
from holdfast.resilience.edge import Edge, EdgeStats, asked_above
from holdfast.resilience.lateness import Lateness
from holdfast.resilience.limiter import Bucket, LimitsStats, MemoryLimits, take
from holdfast.resilience.policy import DEFAULT, EdgePolicy
from holdfast.resilience.prefetch import AdaptivePrefetch
from holdfast.resilience.retry import RetryPolicy, backoff_s, may_repeat, pause_s
from holdfast.resilience.room import Room, ends_late
from holdfast.resilience.sources import Chance, Ticks
from holdfast.resilience.watch import Watch

__all__ = [
    "DEFAULT",
    "AdaptivePrefetch",
    "BreakerPolicy",
    "BreakerState",
    "BreakerStats",
    "Bucket",
    "BudgetPolicy",
    "BudgetStats",
    "Bulkhead",
    "BulkheadPolicy",
    "BulkheadStats",
    "Chance",
    "CircuitBreaker",
    "ConcurrencyLimits",
    "DeadlinePassed",
    "Edge",
    "EdgePolicy",
    "EdgeStats",
    "Health",
    "Lateness",
    "LimitsStats",
    "MemoryLimits",
    "RetryBudget",
    "RetryPolicy",
    "Room",
    "RoutePlaces",
    "Ticks",
    "TierStats",
    "Watch",
    "asked_above",
    "backoff_s",
    "ends_late",
    "health",
    "may_repeat",
    "pause_s",
    "remaining_s",
    "take",
]
