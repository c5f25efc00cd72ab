"""Whether and when to try again, as pure decisions; `edge` does the waiting."""

from dataclasses import dataclass

from holdfast.errors import CallError, CircuitOpen, Overloaded, PoolFull
from holdfast.resilience.deadline import DeadlinePassed
from holdfast.resilience.sources import Chance


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently one call is tried.

    Attributes:
        tries_max: all tries together, the first one included.
        base_s: the ceiling of the first pause; it doubles with every failure.
        cap_s: no ceiling is higher than this.
        hint_max_s: give up when the other side asks for a longer pause than this (Retry-After).
    """

    tries_max: int = 3
    base_s: float = 0.05
    cap_s: float = 2.0
    hint_max_s: float = 10.0

    def __post_init__(self) -> None:
        if self.tries_max < 1:
            raise ValueError(f"{self}: tries_max must be >= 1; use retry=None to never retry")
        if not (0 < self.base_s <= self.cap_s and self.hint_max_s >= 0):
            raise ValueError(f"{self}: it must hold that 0 < base_s <= cap_s and hint_max_s >= 0")


def backoff_s(failures: int, policy: RetryPolicy, rng: Chance) -> float:
    """Return the pause before the next try, in seconds.

    Full jitter: uniform in [0, min(cap_s, base_s * 2**(failures - 1))], so that clients which
    failed together do not come back together.

    Args:
        failures: failed tries so far, >= 1.
        rng: seeded by the caller.
    Raises:
        ValueError: failures < 1.
    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    if failures < 1:
        raise ValueError(f"failures must be >= 1, got {failures}")
    return rng.uniform(0.0, min(policy.cap_s, policy.base_s * 2.0 ** min(failures - 1, 60)))


def may_repeat(error: Exception, *, idempotent: bool) -> bool:
    """Say whether trying again can help and cannot do the effect twice.

    Only a CallError or Overloaded is transient. A refusal is an answer, a bug stays one, and a
    breaker that is open or a deadline that has passed would only say so again. A pool that is full
    would be asked for more.
    """
    if isinstance(error, CircuitOpen | DeadlinePassed | PoolFull):
        return False
    return isinstance(error, CallError | Overloaded) and (idempotent or error.effect == "none")


def pause_s(error: Exception, failures: int, policy: RetryPolicy, rng: Chance) -> float | None:
    """Return how long to wait after the `failures`-th failed try; None: give up.

    The other side may ask for a pause by an attribute `retry_after_s` of the error. It is waited
    for in full, and the jitter comes on top, because everybody was given the same hint.
    """
    if failures >= policy.tries_max:
        return None
    hint_s = float(getattr(error, "retry_after_s", None) or 0.0)
    if hint_s > policy.hint_max_s:
        return None
    return hint_s + backoff_s(failures, policy, rng)
