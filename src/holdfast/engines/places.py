"""Places: how many connections may be in use at once, and who waits for one."""

import asyncio


class Places:
    """A semaphore that tells how full it is.

    Attributes:
        max: how many there are. used, waiting: of this moment.
    """

    __slots__ = ("_free", "max", "used", "waiting")

    def __init__(self, places_max: int) -> None:
        self.max = places_max
        self.used = self.waiting = 0
        self._free = asyncio.Semaphore(places_max)

    async def take(self) -> None:
        """Take a place, when one is free."""
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.used += 1

    def give(self) -> None:
        """Give it back."""
        self.used -= 1
        self._free.release()
