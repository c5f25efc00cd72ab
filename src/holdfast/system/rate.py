"""Rate: how often something may happen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `per_s` a second on average, at most `burst` at once."""

    per_s: float
    burst: int
