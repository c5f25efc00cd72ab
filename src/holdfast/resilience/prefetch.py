"""How many parcels of new work a process takes from its broker at once: those that it can finish.

What it does not take stays with the broker, where other replicas find it. It begins with few, and
takes one more with each that ends, as long as nobody waits for a turn: so a process whose handlers
compute for long does not hoard what another would have done by now. When turns come late the limit
of all that is inside falls (`concurrency`), and this one with it, after requests of clients have
given way: what was begun comes before what is new.

Source: slow start, RFC 5681, section 3.1.
"""

from collections.abc import Callable

from holdfast.contract.tier import Tier
from holdfast.resilience.concurrency import ConcurrencyLimits, RoutePlaces

FIRST = 8


class AdaptivePrefetch:
    """Implements `ports.Prefetch` for one service of a process.

    Args:
        limits: of the process, where its parcels are critical.
    """

    def __init__(self, limits: ConcurrencyLimits, monotonic: Callable[[], float]) -> None:
        self._limits, self._monotonic = limits, monotonic
        self._places = RoutePlaces(Tier.CRITICAL)
        self._most = FIRST
        self._full = False

    def allowed(self, under_way: int) -> int:
        """See `ports.Prefetch`."""
        limit = self._limits.limit_of(self._places)
        self._most = min(self._most, max(1, limit))
        self._full = under_way >= self._most
        if under_way >= limit:
            self._limits.want(self._places)
        return self._most

    def enter(self) -> float:
        """See `ports.Prefetch`."""
        now = self._monotonic()
        self._limits.take(self._places, now)
        return now

    def leave(self, entered_at: float) -> None:
        """See `ports.Prefetch`."""
        self._limits.leave(self._places, self._monotonic() - entered_at)
        if self._full and not self._limits.is_busy:
            self._most += 1
