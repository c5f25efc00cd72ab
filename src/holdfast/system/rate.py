"""Rate: how often something may happen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: so many a second on average, and so many at once.

    Attributes:
        per_s: how many a second, on average.
        burst: how many at once, after a pause.
    """

    per_s: float
    burst: int
