"""What runs at the end of a process: every hook, each with a limit."""

import asyncio
from collections.abc import Awaitable, Callable


class Drain:
    """Ends one thing after the other, and says at last what did not end well.

    Args:
        limit_s: how long each may take.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._errors: list[Exception] = []

    async def end(self, what: str, stop: Callable[[], Awaitable[None]]) -> None:
        """Run one hook; what it raises is kept."""
        try:
            async with asyncio.timeout(self._limit_s):
                await stop()
        except TimeoutError:
            self._errors.append(TimeoutError(f"{what} did not end within {self._limit_s:g} s"))
        except Exception as exc:  # every hook runs; what failed is raised together
            self._errors.append(exc)

    def finish(self) -> None:
        """Raise ExceptionGroup if a hook did not end well."""
        if self._errors:
            raise ExceptionGroup("the drain was not clean", self._errors)
