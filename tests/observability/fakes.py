"""A clock and a source of chance that tests set by hand."""

from collections.abc import Iterable


class SetClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def now(self) -> float:
        """Return the time that was set."""
        return self.now_s

    def monotonic(self) -> float:
        """Return the time that was set."""
        return self.now_s


class SetRandom:
    """Chance that was written down beforehand; the last number repeats."""

    def __init__(self, bits: Iterable[int] = (1,)) -> None:
        self._bits = list(bits)

    def random(self) -> float:
        """Return the middle."""
        return 0.5

    def uniform(self, a: float, b: float) -> float:
        """Return the middle."""
        return (a + b) / 2

    def getrandbits(self, k: int) -> int:
        """Return the next number, cut to `k` bits."""
        bits = self._bits.pop(0) if len(self._bits) > 1 else self._bits[0]
        return bits & ((1 << k) - 1)
