"""The circuit breaker: an other side that is ill gets rest, and callers an answer at once."""

from dataclasses import dataclass
from typing import Literal

from holdfast.errors import BulkheadFull, CallError, CircuitOpen
from holdfast.resilience.deadline import DeadlinePassed
from holdfast.resilience.recent_counts import RecentCounts
from holdfast.resilience.sources import Chance

BreakerState = Literal["closed", "open", "half_open"]
Health = Literal["well", "ill", "unknown"]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to stop calling, for how long, and how to find out that it is over.

    Attributes:
        window_s: only calls that ended within this time are judged.
        calls_min: with fewer calls in the window nothing is decided.
        failure_ratio: opens when at least this share of them failed, in (0, 1].
        open_s: how long it stays open, times a random factor in [1 - jitter, 1 + jitter], so
            that the breakers of many callers do not probe at the same moment.
        jitter: see `open_s`; in [0, 1).
        probes: calls let through when that time is over; it closes when as many succeeded, and
            opens again with the first that fails.
        probe_life_s: a probe that was not settled for this long is taken for lost.
        patience_s: a try that was cut short by its caller's deadline before this long says
            nothing about the other side.
    """

    window_s: float = 10.0
    calls_min: int = 20
    failure_ratio: float = 0.5
    open_s: float = 5.0
    jitter: float = 0.2
    probes: int = 3
    probe_life_s: float = 30.0
    patience_s: float = 0.5

    def __post_init__(self) -> None:
        if not (self.window_s > 0 and self.open_s > 0 and self.probe_life_s > 0):
            raise ValueError(f"{self}: window_s, open_s and probe_life_s must be > 0")
        if not (self.calls_min >= 1 and self.probes >= 1):
            raise ValueError(f"{self}: calls_min and probes must be >= 1")
        if not (0 < self.failure_ratio <= 1 and 0 <= self.jitter < 1 and self.patience_s >= 0):
            raise ValueError(
                f"{self}: failure_ratio must be in (0, 1], jitter in [0, 1), patience_s >= 0"
            )


@dataclass(frozen=True, slots=True)
class BreakerStats:
    """Where the breaker stands, as of its last call.

    Attributes:
        calls, failures: in the window. opened: times since the start.
        refused: calls since the start that were not let through.
    """

    state: BreakerState
    calls: int
    failures: int
    opened: int
    refused: int


def health(error: BaseException) -> Health:
    """Say what the end of a call tells about the other side.

    Ill: time-outs, transport errors. Well: a refusal, for want of room too, or any other exception,
    because somebody over there answered. Unknown: what was refused on this side, and a call that
    its own caller gave up (CancelledError).
    """
    if isinstance(error, CircuitOpen | BulkheadFull | DeadlinePassed):
        return "unknown"
    if isinstance(error, CallError | OSError):
        return "ill"
    return "well" if isinstance(error, Exception) else "unknown"


class CircuitBreaker:
    """A state machine on monotonic time, without timers: it moves when it is asked.

    closed → open when too many calls fail; open → half_open when its time is over; half_open →
    closed when enough probes succeeded, or → open when one failed. Every change of state begins a
    new epoch, and a ticket is the epoch in which it was given. Only tickets of the present epoch
    count, so a slow call from before the outage can neither close nor re-open the breaker.

    Every ticket should be settled once, by `succeeded`, `failed` or `dropped`. One that never is
    cannot wedge the breaker: see `probe_life_s`.
    """

    __slots__ = (
        "_changes_at",
        "_epoch",
        "_opened",
        "_policy",
        "_probes_good",
        "_probes_out",
        "_recent",
        "_refused",
        "_rng",
        "_state",
    )

    def __init__(self, policy: BreakerPolicy, rng: Chance) -> None:
        self._policy = policy
        self._rng = rng
        self._recent = RecentCounts(policy.window_s)
        self._state: BreakerState = "closed"
        self._epoch = 0
        self._changes_at = (
            0.0  # open: the end of the rest; half_open: when probes are taken for lost
        )
        self._probes_out = 0  # half_open only: given and not settled
        self._probes_good = 0  # half_open only; good + out <= probes
        self._opened = self._refused = 0

    @property
    def state(self) -> BreakerState:
        """The state that the last event left behind; an open breaker may be due for probes."""
        return self._state

    @property
    def ticket(self) -> int | None:
        """The ticket of one more call while the breaker is closed; otherwise None."""
        return self._epoch if self._state == "closed" else None

    def try_pass(self, now: float) -> int | None:
        """Return a ticket for one call, or None: do not call."""
        if self._state == "closed":
            return self._epoch
        if now >= self._changes_at and (self._state == "open" or self._probes_full()):
            self._enter("half_open")
        if self._state == "open" or self._probes_full():
            self._refused += 1
            return None
        self._probes_out += 1
        self._changes_at = now + self._policy.probe_life_s
        return self._epoch

    def succeeded(self, ticket: int, now: float) -> None:
        """Settle a ticket: the other side is well."""
        if ticket != self._epoch:
            return
        if self._state == "closed":
            self._recent.add(now, 1, 0)
            return
        self._probes_out -= 1
        self._probes_good += 1
        if self._probes_good >= self._policy.probes:
            self._enter("closed")

    def failed(self, ticket: int, now: float) -> None:
        """Settle a ticket: the other side is ill."""
        if ticket != self._epoch:
            return
        if self._state == "closed":
            recent = self._recent
            recent.add(now, 0, 1)
            calls = recent.good + recent.bad
            if calls < self._policy.calls_min or recent.bad < self._policy.failure_ratio * calls:
                return
        self._open(now)

    def dropped(self, ticket: int) -> None:
        """Settle a ticket whose call told nothing, because it was cancelled or never sent."""
        if ticket == self._epoch and self._state == "half_open":
            self._probes_out -= 1

    def stats(self) -> BreakerStats:
        """Return state and counts."""
        recent = self._recent
        calls = recent.good + recent.bad
        return BreakerStats(self._state, calls, recent.bad, self._opened, self._refused)

    def _probes_full(self) -> bool:
        return self._probes_out + self._probes_good >= self._policy.probes

    def _open(self, now: float) -> None:
        self._enter("open")
        jitter = self._policy.jitter
        self._changes_at = now + self._policy.open_s * self._rng.uniform(1 - jitter, 1 + jitter)
        self._opened += 1

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._epoch += 1
        self._probes_out = self._probes_good = 0
        self._recent.clear()
