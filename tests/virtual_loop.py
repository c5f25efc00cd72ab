"""Virtual time for our own tests: the loop that users have, a clock, and a way to run on them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from holdfast.testing.virtual import VirtualLoop

__all__ = ["LoopClock", "VirtualLoop", "run_virtual"]

T = TypeVar("T")


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
