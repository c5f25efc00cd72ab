"""Virtual time for tests: while every task waits, the clock jumps to what is due next.

A test that waits for days ends in milliseconds, and always in the same way. Sockets, threads and
subprocesses have no place in it, as time would run past them.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


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
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` starts at 1000 s and passes only while every task waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._jumping.now_s


class VirtualClock:
    """`ports.Clock` on the loop's time.

    Args:
        starts_at: what `now` shows when the clock is made, in seconds since 1970.
    """

    def __init__(self, starts_at: float) -> None:
        self._ahead_s = starts_at - asyncio.get_running_loop().time()

    def now(self) -> float:
        """Return the virtual time, in seconds since 1970."""
        return asyncio.get_running_loop().time() + self._ahead_s

    def monotonic(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()


def virtual_time(test: Callable[P, Coroutine[object, None, T]]) -> Callable[P, T]:
    """Have an async test run in virtual time, on a loop of its own.

    What it returns is no coroutine, so that any test runner can call it. `asyncio.sleep` and the
    system that `running` starts in it pass days at once.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(test(*args, **kwargs))

    return run
