"""One run of a saga's function over its recorded steps: what it asks for next, or how it ended.

The function holds no memory between steps. It is run from the top each time; a recorded step
returns its outcome at once, the first one without an outcome ends the run. What the function
wants there is in `Replay.wants`. Nothing is read or written here but through `local`.
"""

import asyncio
import hashlib
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from holdfast.consistency.steps import (
    Recorded,
    StepOutcome,
    local_value,
    refusal,
    result_of,
)
from holdfast.consistency.told import Describe, plain, told
from holdfast.contract.carrier import carrier_of
from holdfast.contract.failure import Cancelled, Failure
from holdfast.contract.messages import AnyCommand, Event, Undo, topic_of
from holdfast.contract.model import Model
from holdfast.errors import ForeignAwait, HoldfastError, SagaChanged, SagaTooLong, TransactionLost
from holdfast.pump import STOPPED, Stopped, is_cancelled, pump

STEPS_MAX = 1_000
_NOW_WAITS = object()  # what a suspended step yields to the one who drives the function


class _Discarded(BaseException):
    """A suspended run is dead: what its `finally` asks for does not happen."""


class _Restart(BaseException):
    """The function asked to begin again."""

    def __init__(self, input: Model) -> None:
        self.input = input


@dataclass(frozen=True, slots=True)
class Call:
    """The function waits for the answer to a command; `undo` says how to take it back."""

    path: str
    kind: str
    command: AnyCommand
    undo: Undo[Any] | None
    timeout: timedelta | None


@dataclass(frozen=True, slots=True)
class UndoCall:
    """The function waits for an undo; `known`: its command is known to be done."""

    path: str
    kind: str
    undo: Undo[Any]
    about: UUID
    known: bool


@dataclass(frozen=True, slots=True)
class Sleep:
    """The function waits for time to pass."""

    path: str
    kind: str
    duration: timedelta


@dataclass(frozen=True, slots=True)
class Wait:
    """The function waits for an event, or for the first of several: {topic: event}."""

    path: str
    kind: str
    events: Mapping[str, type[Event]]
    timeout: timedelta


Want = Call | UndoCall | Sleep | Wait


@dataclass(slots=True)
class _Undoable:
    """A step that an undo must take back: it was done, or may have been."""

    path: str
    undo: Undo[Any]
    about: UUID
    known: bool


Ended = Literal["waiting", "completed", "failed", "restarted", "parked"]
Local = Callable[
    [str, str, Callable[..., Awaitable[Any]], tuple[object, ...], dict[str, object]],
    Awaitable[None],
]
"""(path, kind, function, args, kwargs): runs it, and adds its outcome to the recorded steps."""


@dataclass(slots=True)
class Replay:
    """A run. It implements `system.Saga` for the function.

    Attributes:
        steps: {path: recorded step}.
        local_runner: runs a local function in the advancing transaction; see `Local`.
        started_at: when the saga began, or its last step before a restart ended; ms since 1970.
        restarts: how often it began again: a place in it comes again, and needs other ids.
        version: of the function, when the saga began.
        describe: what is written down of an error.
        cancelled: when it was, in ms since 1970: it takes no further step; where it would,
            `Cancelled` is raised. What is its own it may do then, and its undos.
        open_paths: of a cancelled one, the steps that it still waits for.
        parked_undos: paths of undos that were unanswered for so long that the next may go.
        wants: what the function waits for, in order; of those, the new ones are to be sent.
        error: why it is parked. failure: why it failed. restart: the new input.
        withdrawn: commands without an answer that nothing undid.
        broken: an error that parks the saga, even if its function swallows it.
    """

    id: UUID
    steps: Mapping[str, Recorded]
    local_runner: Local
    started_at: int = 0
    restarts: int = 0
    version: int = 1
    parked_undos: frozenset[str] = frozenset()
    cancelled: int = 0
    open_paths: frozenset[str] = frozenset()
    describe: Describe = plain
    wants: list[Want] = field(default_factory=list[Want])
    ended: Ended = "waiting"
    error: str = ""
    failure: Failure | None = None
    restart_input: Model | None = None
    withdrawn: list[UUID] = field(default_factory=list[UUID])
    _counter: int = 0
    _prefix: str = ""
    _last_at: int = 0
    _ids: int = 0
    _met: set[str] = field(default_factory=set[str])
    _undoable: list[_Undoable] = field(default_factory=list[_Undoable])
    _dead: bool = False
    _told: bool = False  # the function has met `Cancelled`
    in_local: bool = False
    broken: Exception | None = None

    @property
    def is_undoing(self) -> bool:
        """Whether it waits for undos."""
        return bool(self.wants) and isinstance(self.wants[-1], UndoCall)

    # -- what the function sees -------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """When the last step ended."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    @property
    def now_ms(self) -> int:
        """When the last step ended, in ms since 1970."""
        return self._last_at or self.started_at

    def new_id(self) -> UUID:
        """Return an id derived from the saga, its restarts, and how many were made before."""
        self._ids += 1
        again = f"{self.restarts}/" if self.restarts else ""
        return derived_id(self.id, f"{again}id:{self._ids}", self.now_ms)

    async def call(
        self,
        command: Any,
        *,
        undo: Undo[Any] | None = None,
        timeout: timedelta | None = None,
    ) -> Any:
        """See `system.Saga.call`."""
        path, kind = self._next(f"call {command.wire_name()}")
        step = self._recorded(path, kind)
        if step is None:
            if undo is not None:  # it may be needed at night, and must be able to leave then
                carrier_of(type(undo)).encode(undo)
            self.wants.append(Call(path, kind, command, undo, timeout))
            return await _suspend()
        outcome = step.outcome
        unknown = outcome.kind == "unanswered" and outcome.effect == "unknown"
        if undo is not None and outcome.letter and (outcome.kind == "reply" or unknown):
            self._undoable.append(_Undoable(path, undo, outcome.letter, not unknown))
        if self.cancelled and step.ended_at >= self.cancelled and outcome.kind != "reply":
            self._told = True  # in other words
        return result_of(outcome, command)

    async def local(
        self, function: Callable[..., Awaitable[Any]], *args: object, **kwargs: object
    ) -> Any:
        """See `system.Saga.local`."""
        path, kind = self._next(f"local {function.__name__}")
        step = self._recorded(path, kind, own=True)
        if step is None:
            self.in_local = True
            try:
                await self.local_runner(path, kind, function, args, kwargs)
            finally:
                self.in_local = False
            step = self._recorded(path, kind)  # read back, as every later run will read it
            assert step is not None, f"local step {path} was not recorded"
        if step.outcome.kind == "failure":
            raise refusal(step.outcome)
        return local_value(function, step.outcome)

    async def sleep(self, duration: timedelta) -> None:
        """See `system.Saga.sleep`."""
        path, kind = self._next("sleep")
        if self._recorded(path, kind) is None:
            self.wants.append(Sleep(path, kind, duration))
            await _suspend()

    async def wait(self, *events_and_key: Any, timeout: timedelta) -> Any:
        """See `system.Saga.wait`."""
        *events, key = events_and_key
        if not events or not all(isinstance(e, type) and issubclass(e, Event) for e in events):
            raise TypeError(f"wait takes events and then a key, not {events_and_key!r}")
        names = {event.wire_name(): event for event in events}
        path, kind = self._next(f"wait {'|'.join(names)}")
        step = self._recorded(path, kind)
        if step is None:
            topics = {topic_of(event, key): event for event in events}
            self.wants.append(Wait(path, kind, topics, timeout))
            return await _suspend()
        body = bytes(step.outcome.body)
        came = names.get(step.outcome.type, events[0])
        return None if body == b"null" else carrier_of(came).decode(body)

    async def gather(self, *calls: Coroutine[object, None, Any]) -> tuple[object, ...]:
        """Run calls together: waits for all, raises the first failure by position."""
        for call in calls:
            if getattr(call, "cr_code", None) is not Replay.call.__code__:
                for other in calls:
                    other.close()
                raise TypeError("gather takes `saga.call(…)` alone; await anything else before it")
        path, _ = self._next("gather")
        outer, self._prefix, counter = self._prefix, f"{path}.", self._counter
        self._counter = 0
        results: list[Any] = []
        waiting = False
        try:
            for call in calls:
                try:
                    call.send(None)
                except StopIteration as stop:
                    results.append(stop.value)
                except Failure as failure:
                    results.append(failure)
                else:
                    waiting = True
        finally:
            self._prefix, self._counter = outer, counter
            for call in calls:
                call.close()
        if waiting:
            await _suspend()
        for result in results:
            if isinstance(result, Failure):
                raise result
        return tuple(results)

    async def undo(self) -> None:
        """See `system.Saga.undo`."""
        path, _ = self._next("undo")
        todo = self._undoable[::-1]
        self._met.update(f"{path}.{number}" for number in range(1, len(todo) + 1))
        held_up = False
        for number, entry in enumerate(todo, 1):
            waiting = self._undo_one(f"{path}.{number}", entry)
            together = number < len(todo) and _group(todo[number].path) == _group(entry.path)
            held_up = held_up or waiting
            if held_up and not (together and _group(entry.path)):
                break
        if self.wants:
            await _suspend()
        self._undoable.clear()

    def _undo_one(self, path: str, entry: _Undoable) -> bool:
        """Ask for one undo unless it is recorded; say whether the next one must wait for it."""
        kind = f"undo {entry.undo.wire_name()}"
        if self._recorded(path, kind, limited=False) is not None:  # a long saga is undone too
            return False
        self.wants.append(UndoCall(path, kind, entry.undo, entry.about, entry.known))
        return path not in self.parked_undos

    async def restart(self, input: Model) -> None:
        """See `system.Saga.restart`."""
        self._alive()
        if self.cancelled:
            self._tell_cancelled()
        raise _Restart(input)

    # -- paths --------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self._dead:
            raise _Discarded
        if self.in_local:
            raise ForeignAwait("a local function gets its own `tx`; it does not use the saga")

    def _next(self, kind: str) -> tuple[str, str]:
        self._alive()
        self._counter += 1
        if self._counter > 2 * STEPS_MAX:  # gathers and undos are counted here, but are no steps
            raise self._parks(self._too_long())
        return f"{self._prefix}{self._counter}", kind

    def _too_long(self) -> SagaTooLong:
        return SagaTooLong(
            f"saga {self.id} has {STEPS_MAX:,} steps; go on with `await saga.restart(input)`"
        )

    def _parks(self, error: HoldfastError) -> HoldfastError:
        self.broken = self.broken or error
        return error

    def _tell_cancelled(self) -> None:
        self._told = True
        raise Cancelled()

    def _recorded(
        self, path: str, kind: str, *, limited: bool = True, own: bool = False
    ) -> Recorded | None:
        self._met.add(path)
        step = self.steps.get(path)
        if step is None:
            waits = path in self.open_paths or not limited or (own and self._told)
            if self.cancelled and not waits:
                self._tell_cancelled()
            if limited and len(self.steps) + len(self.wants) >= STEPS_MAX:
                raise self._parks(self._too_long())
            return None
        if step.kind != kind:
            raise self._parks(
                SagaChanged(
                    f"step {path} was {step.kind!r} and is now {kind!r}; count `version` up and "
                    "keep the old steps for the sagas that are under way"
                )
            )
        self._last_at = max(self._last_at, step.ended_at)
        return step

    # -- the run ------------------------------------------------------------------------------

    async def run(
        self, function: Callable[..., Coroutine[object, None, None]], input: Model
    ) -> Ended:
        """Run the function until it waits or ends."""
        try:
            self.ended = await self._driven(function(self, input))
            if self.cancelled and self.ended == "completed":  # with what it has not undone itself
                self.ended = await self._undo_all()
        except _Restart as restart:
            self.ended, self.restart_input = "restarted", restart.input
        except Failure as failure:
            self.failure, self.error = failure, str(failure)
            self.ended = await self._undo_all()
        except TransactionLost:  # no fault of the saga: all of this is run again
            raise
        except asyncio.CancelledError as exc:
            if is_cancelled():  # whoever runs this is to stop: all of this is run again
                raise
            self.park(exc)
        except Exception as exc:  # the root of a saga: nothing is undone, but for an operator
            if self.cancelled and not self._told and self.broken is None:
                self.ended = await self._undo_all()
            else:
                self.park(exc)
        if self.ended != "parked" and not self._met.issuperset(self.steps):
            self._check_met({path: step.kind for path, step in self.steps.items()})
        if self.broken is not None:
            self.park(self.broken)
        if self.cancelled and self.ended == "failed":
            self.error = "cancelled by an operator"
        if self.ended in ("completed", "failed", "restarted"):
            self.withdrawn = [u.about for u in self._undoable if not u.known]
        return self.ended

    def check_under_way(self, kinds: Mapping[str, str]) -> None:
        """Park a saga whose function does not come to what it is still waiting for.

        Args:
            kinds: {path: kind} of the commands and undos without an answer.
        """
        if self.ended != "parked" and not self.cancelled:
            self._check_met(kinds)
            if self.broken is not None:
                self.park(self.broken)

    def _check_met(self, kinds: Mapping[str, str]) -> None:
        """Find a function that asks for less than it once did: a step was in vain."""
        unmet = kinds.keys() - self._met
        if unmet:
            path = min(unmet, key=_in_order)
            self._parks(
                SagaChanged(
                    f"step {path} was {kinds[path]!r}, and the saga does not come to it any more; "
                    "count `version` up and keep the old steps for the sagas that are under way"
                )
            )

    def park(self, error: BaseException) -> None:
        """End the run: the saga waits for an operator."""
        self.ended, self.error = "parked", told(error, self.describe)

    async def _undo_all(self) -> Ended:
        """An uncaught Failure undoes everything and ends the saga as failed."""
        try:
            ended = await self._driven(self.undo())
        except HoldfastError as exc:  # the undos are not those that were recorded
            self.broken = self.broken or exc
            return "parked"
        return "failed" if ended == "completed" else ended

    async def _driven(self, coroutine: Coroutine[object, None, None]) -> Ended:
        if await pump(coroutine, self._look) is not STOPPED:
            return "completed"
        self._dead = True
        with suppress(Exception, _Discarded, _Restart):
            coroutine.close()  # what its `finally` asks for or raises: a dead run says nothing
        return "waiting"

    def _look(self, awaited: object) -> Exception | Stopped | None:
        """Let the awaits of `local` pass, stop where a step waits, and refuse everything else."""
        if awaited is _NOW_WAITS:
            return STOPPED
        if self.in_local:
            return None
        self.broken = ForeignAwait(
            "a saga awaits its own `saga` alone; move this into `saga.local(…)`"
        )
        return self.broken


def _in_order(path: str) -> list[int]:
    return [int(part) for part in path.split(".")]


def _group(path: str) -> str:
    """Return the gather that a path belongs to, or ""."""
    return path.rpartition(".")[0]


@types.coroutine
def _suspend() -> Generator[object, Any, Any]:
    return (yield _NOW_WAITS)


def derived_id(seed: UUID, label: str, ms: int) -> UUID:
    """Return a UUIDv7 of time `ms` whose other bits are a hash of seed and label."""
    digest = hashlib.blake2b(seed.bytes + label.encode(), digest_size=10).digest()
    tail = int.from_bytes(digest, "big")
    high, low = (tail >> 64) & 0xFFF, tail & ((1 << 62) - 1)
    return UUID(int=(ms << 80) | (7 << 76) | (high << 64) | (2 << 62) | low)


__all__ = [
    "Call",
    "Recorded",
    "Replay",
    "Sleep",
    "StepOutcome",
    "UndoCall",
    "Wait",
    "derived_id",
]
