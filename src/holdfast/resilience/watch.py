"""Ends what takes too long, with one timer for all calls of an edge."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.resilience.deadlines import Deadlines

T = TypeVar("T")


class _Attempt:
    """One operation under way. `expired` is set when the watch has cancelled its task."""

    __slots__ = ("cancelling", "expired", "task")

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self.task = task
        self.cancelling = task.cancelling()
        self.expired = False

    def expire(self) -> None:
        """See `deadlines.Expires`."""
        self.expired = True
        self.task.cancel()


class Watch:
    """Runs operations with a time limit each, on one event loop at a time."""

    __slots__ = ("_deadlines", "_loop")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None  # where the timer is set
        self._deadlines: Deadlines

    async def run(
        self, operation: Callable[[float], Awaitable[T]], *, limit_s: float, now: float
    ) -> T:
        """Return what `operation(limit_s)` returns, or cancel it at `now + limit_s`.

        Raises:
            TimeoutError: the limit was reached.
        """
        task = asyncio.current_task()
        assert task is not None, "a coroutine is always run by a task"
        loop = task.get_loop()
        if loop is not self._loop:  # a timer of a loop that was closed will never ring
            self._loop, self._deadlines = loop, Deadlines(loop)
        attempt, deadlines = _Attempt(task), self._deadlines
        deadlines.add(attempt, now + limit_s)
        try:
            return await operation(limit_s)
        except asyncio.CancelledError as cancelled:
            # Somebody else may have cancelled the task too; then it is theirs.
            if attempt.expired and task.cancelling() - 1 <= attempt.cancelling:
                raise TimeoutError from cancelled
            raise
        finally:
            deadlines.remove(attempt)
            if attempt.expired:
                task.uncancel()
