"""An event loop whose time jumps to the next timer as soon as there is nothing to do.

A test that waits for hours ends in milliseconds, and always in the same way. It is meant for code
that waits for timers alone: while a real socket or a thread is on its way, time would run past it.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the loop's clock where a selector would wait."""

    now_s = 1000.0  # not zero, so that code which takes 0.0 for "none" is found out

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; with nothing ready, let `timeout` pass at once."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:  # only another thread could still wake the loop
            ready = super().select(1.0)
            if not ready:
                raise RuntimeError("deadlock: every task waits, and no timer is set")
            return ready
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` starts at 1000 s and passes only while every task waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._jumping.now_s


class LoopClock:
    """`ports.Clock` on the running loop's time; both clocks show the same."""

    def now(self) -> float:
        """Return the loop's time, as if it had started in 1970."""
        return asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a virtual loop of its own, and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
