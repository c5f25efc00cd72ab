"""What the policies need from outside: durations and chance; each is a part of its port."""

from typing import Protocol


class Ticks(Protocol):
    """The half of `ports.Clock` for durations; the standard module `time` fits as it is."""

    def monotonic(self) -> float:
        """Return seconds that only grow, on the scale of the running loop's `time()`."""
        ...


class Chance(Protocol):
    """The part of `ports.Random` for jitter; the standard module `random` fits as it is."""

    def uniform(self, a: float, b: float) -> float:
        """Return a float in [a, b]."""
        ...
