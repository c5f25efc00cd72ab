"""Threads for the blocking functions that handlers run."""

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable
from typing import Any

from holdfast.dispatch.outside import Blocking
from holdfast.resilience import Room

OnRoom = Callable[[str, Room], None]

QUEUE_MAX = 64  # for the functions of a service that have no pool of their own


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: fewer than there are, in a container with a set
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Threads:
    """Runs blocking functions, those of each pool in a room of their own.

    A function that never returns keeps its place, and not the process: the threads of a
    `ThreadPoolExecutor` are waited for when Python exits. A thread for each call costs some
    50 µs, little beside anything that is worth one. A place is given back when the function ends
    and not when its caller gave up, so that no more run at once than there are places.

    Args:
        count: places for the functions of each service that have no pool.
        computing: places in pools that compute; 0: one for each core but one.
        on_room: told of each room when it is made, such as to show it in the metrics.
    """

    def __init__(
        self,
        count: int,
        computing: int = 0,
        on_room: OnRoom | None = None,
    ) -> None:
        self._count = count
        self._computing = computing or max(1, cores() - 1)
        self._rooms: dict[object, Room] = {}
        self._on_room = on_room

    async def __call__(self, work: Blocking) -> object:
        """Return what the function returns, or raise what it raises.

        Raises:
            PoolFull: it was not begun.
        """
        room = self._room(work)
        await room.enter(deadline=work.deadline, patient=work.patient)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[object] = loop.create_future()
        began = loop.time()

        def tell(settle: Callable[[Any], None], outcome: object) -> None:
            room.leave(loop.time() - began)
            if not ended.done():  # whoever waited may have given up
                settle(outcome)

        def run() -> None:
            settle: Callable[[Any], None] = ended.set_exception
            outcome: object
            try:
                outcome = work.function()
                settle = ended.set_result
            except BaseException as exc:  # the function's own: for whoever waits
                outcome = exc
                if isinstance(exc, StopIteration) or not isinstance(exc, Exception):
                    outcome = RuntimeError(f"the function raised {exc!r}")  # no future takes it
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(tell, settle, outcome)

        here = contextvars.copy_context()  # its logs and spans belong to the handler
        try:
            threading.Thread(target=here.run, args=(run,), name="holdfast-run", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            room.leave(0.0)
            raise
        return await ended

    def _room(self, work: Blocking) -> Room:
        key = work.service if work.pool is None else work.pool
        room = self._rooms.get(key)
        if room is None:
            if work.pool is None:
                name, places, queue_max = work.service, self._count, QUEUE_MAX
            else:
                name, queue_max = work.pool.name, work.pool.queue_max
                places = work.pool.threads or self._computing
            room = self._rooms[key] = Room(name, places=places, queue_max=queue_max)
            if self._on_room is not None:
                self._on_room(name, room)
        return room
