"""Ends what takes too long, with one timer for all calls of an edge."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class _Attempt:
    """One operation under way. `expired` is set when the watch has cancelled its task."""

    __slots__ = ("cancelling", "expired", "task", "until")

    def __init__(self, task: "asyncio.Task[object]", until: float) -> None:
        self.task = task
        self.until = until
        self.cancelling = task.cancelling()
        self.expired = False


class Watch:
    """Runs operations with a time limit each, on one event loop at a time.

    `asyncio.timeout` sets and cancels a loop timer for each call, which costs more than all the
    policies of an edge together. Nearly every limit is met, so this keeps a single timer, armed
    for the earliest end; when it rings, it ends what is over and arms it for the next one.
    """

    __slots__ = ("_armed_for", "_attempts", "_loop", "_timer")

    def __init__(self) -> None:
        self._attempts: dict[_Attempt, None] = {}
        self._armed_for = math.inf  # <= the end of every attempt under way
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # where the timer is set

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
            self._loop, self._timer, self._armed_for = loop, None, math.inf
        attempt = _Attempt(task, now + limit_s)
        self._attempts[attempt] = None
        if attempt.until < self._armed_for:
            self._arm(loop, attempt.until)
        try:
            return await operation(limit_s)
        except asyncio.CancelledError as cancelled:
            # Somebody else may have cancelled the task too; then it is theirs.
            if attempt.expired and task.cancelling() - 1 <= attempt.cancelling:
                raise TimeoutError from cancelled
            raise
        finally:
            del self._attempts[attempt]
            if attempt.expired:
                task.uncancel()

    def _arm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = when
        self._timer = loop.call_at(when, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        # A loop may ring up to a clock tick early, so what it was armed for is over by definition.
        over = max(self._armed_for, loop.time())
        self._timer = None
        self._armed_for = math.inf
        next_end = math.inf
        for attempt in self._attempts:
            if attempt.expired:
                continue  # it was told once, and may still be cleaning up
            if attempt.until <= over:
                attempt.expired = True
                attempt.task.cancel()
            else:
                next_end = min(next_end, attempt.until)
        if next_end < math.inf:
            self._arm(loop, next_end)
