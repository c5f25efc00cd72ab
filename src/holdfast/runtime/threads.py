"""Threads for the blocking functions that handlers run."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Runs at most `count` functions at once; the others wait for their turn.

    A function that never returns keeps its place, and not the process: the threads of a
    `ThreadPoolExecutor` are waited for when Python exits. A thread for each call costs some
    50 µs, little beside anything that is worth one.
    """

    def __init__(self, count: int) -> None:
        self._places = asyncio.Semaphore(count)

    async def run(self, function: Callable[[], T]) -> T:
        """Return what the function returns, or raise what it raises."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()

        def tell(settle: Callable[[Any], None], outcome: Any) -> None:
            self._places.release()
            if not ended.done():  # whoever waited may have given up
                settle(outcome)

        def work() -> None:
            settle: Callable[[Any], None] = ended.set_exception
            outcome: Any
            try:
                outcome = function()
                settle = ended.set_result
            except BaseException as exc:
                outcome = exc
                if isinstance(exc, StopIteration) or not isinstance(exc, Exception):
                    outcome = RuntimeError(f"the function raised {exc!r}")  # no future takes it
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(tell, settle, outcome)

        threading.Thread(target=work, name="holdfast-run", daemon=True).start()
        return await ended
