"""Lateness: how long requests stood before anybody read them, and when that is too long."""

_LONG_AGO = float("-inf")


class Lateness:
    """Tells a queue that stands from one that passes.

    A process that was held up for two seconds is two seconds late with everything that came
    meanwhile, catches up at once, and should serve it. One that takes on more than it can serve
    stays late, and what it refuses then is what lets it keep its word to the others.

    Args:
        wait_s: how long a request may wait; over it for as long again, late ones are refused.
    Source: K. Nichols, V. Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012.
    """

    __slots__ = ("_last", "_since", "_wait_s")

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        # of late requests without one in time between them
        self._since = self._last = _LONG_AGO

    def on_time(self) -> None:
        """Note a request that has not waited for long."""
        self._last = _LONG_AGO

    def refuses(self, waited_s: float, now: float) -> bool:
        """Say whether a request that has waited so long is to be refused."""
        if waited_s <= self._wait_s:
            self.on_time()
            return False
        if now - self._last > self._wait_s:
            self._since = now
        self._last = now
        return now - self._since > self._wait_s
