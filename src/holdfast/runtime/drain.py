"""What runs at the end of a process: every hook, and all of them within one time.

Whoever sent SIGTERM sends SIGKILL when that time and a little more is over. So what hangs takes the
time of those after it; they still get a moment each, in which whatever does not hang ends. What has
begun to write goes on for some seconds when its request has been given up.
"""

import asyncio
from collections.abc import Awaitable, Callable

LEAST_S = 0.5
BEGUN_S = 3.0  # what is rendered waits for five seconds more than a drain may take


class Drain:
    """Ends one thing after the other, and says at last what did not end well.

    Args:
        limit_s: how long all of them may take, from now.
    """

    def __init__(self, limit_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + limit_s
        self._errors: list[Exception] = []

    @property
    def left_s(self) -> float:
        """How long the next hook may take."""
        return max(LEAST_S, self._until - self._loop.time())

    async def end(
        self, what: str, stop: Callable[[], Awaitable[None]], more_s: float = 0.0
    ) -> None:
        """Run one hook, which may end so much later than all others; what it raises is kept."""
        left_s = max(LEAST_S, self._until + more_s - self._loop.time())
        try:
            async with asyncio.timeout(left_s):
                await stop()
        except TimeoutError:
            self._errors.append(TimeoutError(f"{what} did not end within {left_s:.3g} s"))
        except Exception as exc:  # every hook runs; what failed is raised together
            self._errors.append(exc)

    def finish(self) -> None:
        """Raise ExceptionGroup if a hook did not end well."""
        if self._errors:
            raise ExceptionGroup("the drain was not clean", self._errors)
