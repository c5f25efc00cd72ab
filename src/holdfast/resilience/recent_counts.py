"""What happened lately: two counters that forget."""


class RecentCounts:
    """Counts good and bad events of about the last `span_s` seconds, in constant memory.

    A ring of buckets, each `span_s / buckets` wide. It always covers the newest bucket, which is
    partly filled, and the `buckets - 1` before it: at least 90% and at most all of `span_s` when
    there are ten.

    Attributes:
        good, bad: the sums over the ring as of the last `add` or `roll`.
    """

    __slots__ = ("_bad", "_good", "_newest", "_per_s", "_size", "bad", "good")

    def __init__(self, span_s: float, buckets: int = 10) -> None:
        self._per_s = buckets / span_s
        self._size = buckets
        self._newest = 0  # number of the newest bucket, counted from time zero
        self._good = [0] * buckets
        self._bad = [0] * buckets
        self.good = 0
        self.bad = 0

    def add(self, now: float, good: int, bad: int) -> None:
        """Count events that happened at `now`; times must not go back."""
        number = int(now * self._per_s)
        if number > self._newest:
            self._forget(number)
        slot = self._newest % self._size
        if good:
            self._good[slot] += good
            self.good += good
        if bad:
            self._bad[slot] += bad
            self.bad += bad

    def roll(self, now: float) -> None:
        """Forget what is too old at `now`."""
        number = int(now * self._per_s)
        if number > self._newest:
            self._forget(number)

    def clear(self) -> None:
        """Forget everything."""
        self._good = [0] * self._size
        self._bad = [0] * self._size
        self.good = self.bad = 0

    def _forget(self, number: int) -> None:
        if number - self._newest >= self._size:
            self.clear()
        else:
            for old in range(self._newest + 1, number + 1):
                slot = old % self._size
                self.good -= self._good[slot]
                self.bad -= self._bad[slot]
                self._good[slot] = self._bad[slot] = 0
        self._newest = number
