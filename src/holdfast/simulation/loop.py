"""The event loop of a simulation: virtual time, a seeded order, and no way out.

Callbacks that are ready run in an order drawn from the seed; when none is ready, time jumps to the
next timer. What would leave the simulation (a thread, a socket, a subprocess, a signal) fails and
says who asked for it.
"""

import asyncio
import heapq
import random
import traceback
from asyncio import AbstractEventLoop, Future, Task, events
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any, TypeVar

from holdfast.errors import Deadlock, Livelock, NotSimulated
from holdfast.simulation.callback import Callback
from holdfast.simulation.node import NODE, Node

T = TypeVar("T")
Trouble = dict[str, Any]
"""What went wrong in a callback, as asyncio tells it."""
ExceptionHandler = Callable[[AbstractEventLoop, Trouble], object]

STEPS_MAX = 5_000_000  # callbacks of one run; beyond it something turns in a circle
SAME_TIME_MAX = 200_000  # callbacks without any time passing
SHUFFLED = 0.1  # how often the next callback is not the one that waits longest
_SOON = 8  # it is drawn among the first so many
_HERE = str(Path(__file__).parent)
_PACKAGE = f"{Path(__file__).parents[1]}/"


_OUTSIDE = {
    "a socket": (
        "create_connection create_server create_datagram_endpoint create_unix_connection "
        "create_unix_server connect_accepted_socket start_tls sendfile sock_accept sock_connect "
        "sock_recv sock_recv_into sock_sendall sock_sendfile getaddrinfo getnameinfo add_reader "
        "add_writer remove_reader remove_writer connect_read_pipe connect_write_pipe"
    ),
    "a subprocess": "subprocess_exec subprocess_shell",
    "a signal": "add_signal_handler remove_signal_handler",
    "another thread": "call_soon_threadsafe set_default_executor",
    "other tasks": "set_task_factory",
}
"""What of an event loop leads out of a simulation, by what it asks for."""


def _not_simulated(
    what: str, is_: str, instead: str = "a port of `holdfast.ports`"
) -> NotSimulated:
    return NotSimulated(f"{culprit()} asks for {is_} ({what}); go through {instead}")


def culprit() -> str:
    """Return file and line of the innermost frame of the user's code.

    What is below the loop only runs it. Where no frame above is the user's, as when FastAPI takes a
    thread for a `def` that it has not called yet, it is the innermost one of a library, or ours.
    """
    library = ""
    for frame in reversed(traceback.extract_stack()):
        if frame.filename == __file__ and frame.name == "_run":
            break
        if "/asyncio/" in frame.filename or frame.filename.startswith(_HERE):
            continue
        place = f"{frame.filename}:{frame.lineno} in {frame.name}"
        ours = frame.filename.startswith(_PACKAGE)
        if not ours and "/lib/python3" not in frame.filename:
            return place
        if ours or "-packages/" in frame.filename:
            library = library or place
    return library or "something"


def _refuse(name: str, what: str) -> Callable[..., object]:
    def refused(self: object, *args: object, **kwargs: object) -> object:
        raise _not_simulated(name, what)

    return refused


_Walled: Any = type(
    "_Walled",
    (AbstractEventLoop,),
    {name: _refuse(name, what) for what, names in _OUTSIDE.items() for name in names.split()},
)


class SimLoop(_Walled):  # type: ignore[misc]  # all of it is AbstractEventLoop's
    """An event loop for one simulated run.

    Args:
        chance: decides the order of callbacks that are ready; None keeps the order in which they
            became so.

    Attributes:
        steps: callbacks that ran.
        watch: told of each callback of a node before it runs; it may kill the node.
        errors: what callbacks raised.
    """

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance
        self._now_s = 0.0
        self._ready: list[Callback] = []
        self._later: list[tuple[float, int, Callback]] = []
        self._count = 0
        self._stopping = False
        self._closed = False
        self._running = False
        self.steps = 0
        self.watch: Callable[[Node], None] | None = None
        self.errors: list[Trouble] = []
        self._handler: ExceptionHandler | None = None
        self.tasks: dict[Task[object], None] = {}  # in the order in which they were made

    # -- running --------------------------------------------------------------------------------

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now_s

    def run_until_complete(self, future: Awaitable[T]) -> T:
        """Run until a coroutine or a future is done; return its result.

        Raises:
            Deadlock: it can never be done.
            Livelock: STEPS_MAX callbacks, or SAME_TIME_MAX of them without time passing.
        """
        main = asyncio.ensure_future(future, loop=self)
        before = events._get_running_loop()
        events._set_running_loop(self)
        self._running = True
        try:
            self._run(main)
        finally:
            self._running = False
            events._set_running_loop(before)
        return main.result()

    def run_forever(self) -> None:
        """Refuse: a simulation has an end."""
        raise NotSimulated("a simulated run ends with its main task: use run_until_complete")

    def _run(self, main: "Future[Any]") -> None:
        same_time = 0
        ready, later, chance = self._ready, self._later, self._chance
        while not main.done():
            if not ready:
                while later and later[0][2].function is None:
                    heapq.heappop(later)
                if not later:
                    raise Deadlock(self._who_waits(main))
                due, _, call = heapq.heappop(later)
                if due > self._now_s:
                    self._now_s = due
                    same_time = 0
                ready.append(call)
                while later and later[0][0] <= self._now_s:
                    call = heapq.heappop(later)[2]
                    if call.function is not None:
                        ready.append(call)
            at = 0
            if chance is not None and len(ready) > 1 and chance.random() < SHUFFLED:
                at = int(chance.random() * min(len(ready), _SOON))
            call = ready.pop(at)
            function, context = call.function, call.context
            if function is None:
                continue
            node = context.get(NODE)
            if node is not None:
                if not node.alive:
                    continue
                if node.paused:
                    node.held.append(call)
                    continue
                if self.watch is not None:
                    self.watch(node)
                    if not node.alive:
                        continue
            self.steps += 1
            same_time += 1
            if self.steps > STEPS_MAX or same_time > SAME_TIME_MAX:
                raise Livelock(f"{self.steps:,} callbacks, the last of them {call!r}")
            try:
                context.run(function, *call.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as exc:  # a callback has nobody else who would hear of it
                told = f"Exception in callback {function!r}"
                self.call_exception_handler({"message": told, "exception": exc, "handle": call})

    def leap(self, seconds: float) -> None:
        """Let time pass at once; what was due in it is late."""
        self._now_s += seconds

    def go_on(self, held: list[Callback]) -> None:
        """Take back the callbacks of a node that was paused."""
        self._ready += held

    def _who_waits(self, main: "Future[Any]") -> str:
        lines = [f"nothing is left that could end {main!r}; these wait:"]
        for task in self.tasks:
            frames = task.get_stack(limit=1)
            where = traceback.extract_stack(frames[0], limit=1)[0] if frames else None
            at = f"{where.filename}:{where.lineno} in {where.name}" if where else "nowhere"
            lines.append(f"  {task.get_name()}: {at}")
        return "\n".join(lines)

    def stop(self) -> None:
        """Do nothing: a run ends with its main task."""

    def is_running(self) -> bool:
        """Return whether a run is under way."""
        return self._running

    def is_closed(self) -> bool:
        """Return whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Abandon what is left: coroutines are closed without a word about it."""
        self._closed = True
        self._ready.clear()
        self._later.clear()
        for task in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio's own gather does
        left = [task.get_coro() for task in self.tasks]
        self.tasks.clear()
        for coroutine in left:
            try:
                coroutine.close()
            except BaseException:  # noqa: S112  # what its `finally` wants comes too late
                continue

    # -- callbacks ------------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Callback:
        """See `AbstractEventLoop.call_soon`."""
        if context is None:  # an empty one is false
            context = copy_context()
        call = Callback(callback, args, context, self._now_s)
        if not self._closed:
            self._ready.append(call)
        return call

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> Callback:
        """See `AbstractEventLoop.call_later`."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> Callback:
        """See `AbstractEventLoop.call_at`."""
        if context is None:
            context = copy_context()
        call = Callback(callback, args, context, when)
        if not self._closed:
            self._count += 1
            heapq.heappush(self._later, (when, self._count, call))
        return call

    # -- tasks and futures ----------------------------------------------------------------------

    def create_future(self) -> "Future[Any]":
        """See `AbstractEventLoop.create_future`."""
        return Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[object, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "Task[T]":
        """See `AbstractEventLoop.create_task`; names count from 1 in each run."""
        self._count += 1
        task = Task(coro, loop=self, name=name or f"task-{self._count}", context=context)
        self.tasks[task] = None
        task.add_done_callback(self._forget, context=_NOBODY)
        return task

    def _forget(self, task: "Task[object]") -> None:
        self.tasks.pop(task, None)

    def get_task_factory(self) -> None:
        """Return None: tasks are the loop's own."""

    # -- errors ---------------------------------------------------------------------------------

    def call_exception_handler(self, context: Trouble) -> None:
        """Remember what went wrong in a callback; a run with errors is a failed one."""
        if self._closed:
            return
        if self._handler is not None:
            self._handler(self, context)
        self.errors.append(context)

    def default_exception_handler(self, context: Trouble) -> None:
        """See `call_exception_handler`."""
        self.call_exception_handler(context)

    def set_exception_handler(self, handler: ExceptionHandler | None) -> None:
        """See `AbstractEventLoop.set_exception_handler`."""
        self._handler = handler

    def get_exception_handler(self) -> ExceptionHandler | None:
        """See `AbstractEventLoop.get_exception_handler`."""
        return self._handler

    def get_debug(self) -> bool:
        """Return False: its checks read the real clock."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Do nothing."""

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: nothing outlives the run."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: there is none."""

    # -- no way out: what else AbstractEventLoop has is refused by `_Walled` -----------------------

    def run_in_executor(self, executor: object, func: object, *args: object) -> Any:
        """Refuse: a thread."""
        raise _not_simulated("run_in_executor", "a thread", "`outside.run`")


_NOBODY = Context()
