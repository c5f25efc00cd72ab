"""Simulated clocks: one time for all, and a wall clock for each node that may be wrong."""

import asyncio

EPOCH_S = 1_800_000_000.0
"""When simulated worlds begin, in seconds since 1970."""


class SimClock:
    """Implements `ports.Clock` for one node, or for a database server.

    Attributes:
        skew_s: how far its wall clock is ahead; a fault may change it at any time.
    """

    def __init__(self, skew_s: float = 0.0) -> None:
        self.skew_s = skew_s

    def now(self) -> float:
        """Return what this node takes for the time, in seconds since 1970."""
        return EPOCH_S + asyncio.get_running_loop().time() + self.skew_s

    def monotonic(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()
