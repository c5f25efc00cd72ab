"""The retry budget: retries are a share of the traffic, so an outage cannot multiply it."""

from dataclasses import dataclass

from holdfast.resilience.recent_counts import RecentCounts

_UNITS = 1000  # a retry costs 1000 units; whole numbers do not drift


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """How many retries an edge may send, together for all of its calls.

    Over any `ttl_s`: at most `ratio` * first tries + `floor_per_s` * `ttl_s`.

    Attributes:
        ratio: what each first try adds. 0.1: one retry for ten calls, 1.1 times the load at worst.
        floor_per_s: retries that are allowed without traffic, so that a quiet edge may retry too.
        ttl_s: how long an unused part lasts; a quiet night does not pay for a storm at noon.
    """

    ratio: float = 0.1
    floor_per_s: float = 1.0
    ttl_s: float = 10.0

    def __post_init__(self) -> None:
        if not (self.ratio >= 0 and self.floor_per_s >= 0 and self.ttl_s > 0):
            raise ValueError(f"{self}: ratio and floor_per_s must be >= 0, ttl_s > 0")


@dataclass(frozen=True, slots=True)
class BudgetStats:
    """Counts since the start.

    Attributes:
        calls: first tries that were sent. retries: what was withdrawn.
        refused: retries that the budget did not allow. left: those that it would allow now.
    """

    calls: int
    retries: int
    refused: int
    left: float


class RetryBudget:
    """Earns with every first try, pays for every retry.

    A call counts when it is sent, not when it returns: while the other side hangs, nothing
    returns, and that is when the number must be right. Both earnings and payments are forgotten
    after `ttl_s`, so the balance is that of a sliding window.

    Source: Finagle's RetryBudget (Twitter, 2016); B. Beyer et al., "Site Reliability
    Engineering", 2016, chapter 21.
    """

    __slots__ = ("_calls", "_earned", "_recent", "_refused", "_reserve", "_retries")

    def __init__(self, policy: BudgetPolicy) -> None:
        self._recent = RecentCounts(policy.ttl_s)
        self._earned = round(policy.ratio * _UNITS)
        self._reserve = round(policy.floor_per_s * policy.ttl_s * _UNITS)
        self._calls = self._retries = self._refused = 0

    def deposit(self, now: float) -> None:
        """Count a call that is being sent for the first time."""
        self._calls += 1
        self._recent.add(now, self._earned, 0)

    def try_withdraw(self, now: float) -> bool:
        """Pay for one retry, if the balance allows it."""
        recent = self._recent
        recent.roll(now)
        if recent.good - recent.bad + self._reserve < _UNITS:
            self._refused += 1
            return False
        recent.add(now, 0, _UNITS)
        self._retries += 1
        return True

    def stats(self, now: float) -> BudgetStats:
        """Return what was sent, repeated and not repeated, and what is left."""
        recent = self._recent
        recent.roll(now)
        left = max(0, recent.good - recent.bad + self._reserve) / _UNITS
        return BudgetStats(self._calls, self._retries, self._refused, left)
