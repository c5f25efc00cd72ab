"""One advance of one saga: run its function over its steps, and write what it wants next.

All of it is in one transaction, over the saga's locked row.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from holdfast.consistency.ledger import MESSAGE_BYTES_MAX, Ledger, bounded, encode
from holdfast.consistency.letters import Letters
from holdfast.consistency.replay import Call, Replay, Sleep, UndoCall, Wait, Want, derived_id
from holdfast.consistency.rows import SagaStep
from holdfast.consistency.steps import Recorded, StepOutcome, local_outcome, refusal_of
from holdfast.consistency.trail import Advancing, Trail, UntracedTrail
from holdfast.consistency.turn import Effects
from holdfast.consistency.unit import Driver, Unit, Units
from holdfast.contract.carrier import carrier_of
from holdfast.contract.envelope import (
    Kind,
    Letter,
    MessageRow,
    SagaInput,
    SagaRow,
    State,
    StepRow,
)
from holdfast.contract.failure import Failure
from holdfast.contract.model import Model
from holdfast.errors import MessageTooLarge, NotCarried, NotDeclared, SagaTooLong
from holdfast.storage import Transaction

_LETTERS = (Kind.COMMAND, Kind.WITHDRAW, Kind.UNDO)
RESTARTS_MAX = 100  # in one advance; a saga that restarts without waiting never ends


@dataclass(frozen=True, slots=True)
class SagaType:
    """A saga as the core runs it; `settings` are its further arguments, by name."""

    name: str
    function: Callable[..., Coroutine[object, None, None]]
    version: int
    input_type: type[Model]
    settings: Mapping[str, object] = field(default_factory=dict[str, object])

    def runs(self) -> Callable[..., Coroutine[object, None, None]]:
        """Return what takes a saga and its input."""
        return partial(self.function, **self.settings) if self.settings else self.function

    def carried(self, given: Model | None) -> tuple[bytes, Model]:
        """Return what a saga is started with, as it is stored, and as it is read from there.

        Raises:
            NotCarried, MessageTooLarge
        """
        body, back = carrier_of(self.input_type).carry(given)
        if len(body) > MESSAGE_BYTES_MAX:
            raise MessageTooLarge(
                f"the input of {self.name} is {len(body):,} bytes; the maximum is "
                f"{MESSAGE_BYTES_MAX:,}, as for what it sends: give it a reference instead"
            )
        return body, back


SagaEnded = Callable[[str, str, int], None]
"""Called with (type, outcome, duration in ms) after the commit that ended a saga."""

SagaParked = Callable[[str, UUID, str], None]
"""Called with (type, id, error) after the commit that parked a saga."""


def untold(*_: object) -> None:
    """Nobody wants to be told."""


@dataclass(frozen=True, slots=True)
class Means:
    """What advances are made with; one for all sagas of a service.

    Attributes:
        settle: flushes a unit of work, and starts the sagas that it starts.
    """

    ledger: Ledger
    letters: Letters
    units: Units
    settle: Callable[[Unit, Effects], Awaitable[None]]
    ended: SagaEnded = untold
    parked: SagaParked = untold
    trail: Trail = field(default_factory=UntracedTrail)

    def park(self, row: SagaRow, name: str, error: str, effects: Effects) -> None:
        """End a saga's run until an operator has looked; it is told in the context of now."""
        row.state, row.error = "parked", error
        tell = partial(self.parked, name, row.id, error)
        effects.done.append(partial(copy_context().run, tell))


class Advance:
    """One advance; its savepoint is opened by the first thing that it writes.

    Args:
        row: of the saga, locked. steps: its ended steps by path.
        advancing: where it belongs in its trace.
        stored: what it was started with, and `given` as its function takes it.
    """

    __slots__ = (
        "_advancing",
        "_began",
        "_effects",
        "_given",
        "_is_open",
        "_kind",
        "_means",
        "_open_rows",
        "_row",
        "_steps",
        "_stored",
        "_tx",
    )

    def __init__(
        self,
        means: Means,
        tx: Transaction,
        row: SagaRow,
        kind: SagaType,
        steps: dict[str, Recorded],
        effects: Effects,
        advancing: Advancing,
        stored: SagaInput,
        given: Model,
    ) -> None:
        self._means, self._tx, self._row, self._kind = means, tx, row, kind
        self._steps, self._effects, self._stored, self._given = steps, effects, stored, given
        self._advancing = advancing
        self._began = stored.version or row.version  # of an older one, what advanced it last
        self._open_rows: list[MessageRow] = []
        self._is_open = False

    # -- the advance ----------------------------------------------------------------------------

    async def run(self, *, look: bool) -> None:
        """Run the function until it waits or ends; write what follows, and change the row.

        Args:
            look: its open rows may not be those that it last asked for.
        """
        restarts = 0
        while True:
            mark = self._effects.mark()
            replay = await self._replay(look=look)
            if replay.is_undoing:
                self._keep_trace()
            met = replay.ended == "waiting" and await self._send(replay)
            body = self._restart_body(replay) if replay.ended == "restarted" else b""
            if restarts > RESTARTS_MAX:
                replay.park(SagaTooLong(f"it restarted {restarts} times without waiting"))
            kept = replay.ended != "parked"
            if not kept:  # what it did in this advance is undone; the steps stay
                self._effects.back_to(mark)
            await self._close_savepoint(keep=kept)
            if replay.ended == "restarted":
                restarts += 1
                await self._restart(replay, body)
            elif not met:
                break  # otherwise a wait was met by an event that had come before
        await self._conclude(replay)

    async def wanted(self) -> dict[str, Call]:
        """Return {path: command step} of those that the function waits for; nothing is written."""
        replay = self._new_replay()
        ended = await replay.run(self._kind.runs(), self._given)
        await self._close_savepoint(keep=False)
        wants = replay.wants if ended == "waiting" else ()
        return {want.path: want for want in wants if isinstance(want, Call)}

    def _new_replay(self, parked: frozenset[str] = frozenset()) -> Replay:
        open_paths: frozenset[str] = frozenset()
        if self._stored.cancelled:
            due = (r.path for r in self._open_rows if r.state is State.DUE)
            open_paths = frozenset(path for path in due if path)
        return Replay(
            self._row.id,
            self._steps,
            self._local_step,
            started_at=self._stored.began_at or self._row.started_at,
            restarts=self._stored.restarts,
            version=self._began,
            parked_undos=parked,
            cancelled=self._stored.cancelled,
            open_paths=open_paths,
            describe=self._means.ledger.describe,
        )

    async def _replay(self, *, look: bool) -> Replay:
        """Run the function; look up its open rows only where one of them may matter."""
        tx, row = self._tx, self._row
        cancelled = bool(self._stored.cancelled)
        self._open_rows = await tx.messages_of_owner(row.id) if cancelled else []
        replay = self._new_replay()
        await replay.run(self._kind.runs(), self._given)
        paths = [want.path for want in replay.wants] if replay.ended == "waiting" else self._steps
        grouped = len(replay.wants) > 1 or "." in "".join(paths)
        ended = replay.ended == "restarted" or bool(replay.withdrawn)
        if not (look or replay.is_undoing or grouped or ended or cancelled):
            return replay
        self._open_rows = await tx.messages_of_owner(row.id)
        parked = frozenset(
            r.path
            for r in self._open_rows
            if r.path and r.kind is Kind.UNDO and r.expires_at is None
        )
        if replay.is_undoing and parked:
            replay = self._new_replay(parked)
            await replay.run(self._kind.runs(), self._given)
        steps = [
            SagaStep(r) for r in self._open_rows if r.state is State.DUE and r.kind in _LETTERS
        ]
        replay.check_under_way({step.path: step.kind for step in steps})
        return replay

    def _restart_body(self, replay: Replay) -> bytes:
        try:
            body, self._given = self._kind.carried(replay.restart_input)
        except (MessageTooLarge, NotCarried) as exc:
            replay.park(exc)
            return b""
        return body

    async def _restart(self, replay: Replay, body: bytes) -> None:
        row, stored, version = self._row, self._stored, self._kind.version
        await self._end_open(replay)
        stored = msgspec.structs.replace(
            stored,
            body=msgspec.Raw(body),
            version=version,
            cancelled=0,
            restarts=stored.restarts + 1,
            began_at=replay.now_ms,
        )
        row.input, row.version = encode(stored), version
        self._stored, self._began = stored, version
        await self._tx.delete_steps(row.id)
        self._steps.clear()

    def _keep_trace(self) -> None:
        """Have the trace of a saga that is undone kept, here and wherever it goes from now on."""
        kept = self._advancing.keep()
        if kept:
            self._stored = msgspec.structs.replace(self._stored, trace=kept)
            self._row.input = encode(self._stored)

    async def _conclude(self, replay: Replay) -> None:
        row, name, means = self._row, self._kind.name, self._means
        row.version = self._kind.version
        if replay.ended == "waiting":
            row.error = None
            return
        if replay.ended == "parked":
            means.park(row, name, replay.error, self._effects)
            return
        row.state = "completed" if replay.ended == "completed" else "failed"
        row.ended_at = self._tx.now_ms
        row.error = replay.error or None
        await self._end_open(replay)
        took_ms = self._tx.now_ms - row.started_at
        self._effects.done.append(partial(means.ended, name, row.state, took_ms))

    async def _end_open(self, replay: Replay) -> None:
        """A saga that ends, or restarts, without undoing an unanswered step withdraws it."""
        tx = self._tx
        for row in self._open_rows:
            if row.state is State.HELD and row.id in replay.withdrawn:
                withdrawn = withdrawal(row, tx.now_ms, self._means.ledger, keep=False)
                if await tx.update_message(withdrawn, State.HELD):
                    self._effects.rows.append(withdrawn)
            elif row.kind in (Kind.TIMER, Kind.WAIT):
                await tx.delete_message(row.edge, row.id, State.DUE)

    # -- what is written within it ----------------------------------------------------------------

    async def _open_savepoint(self) -> None:
        """Begin to write what a parked run must not leave behind."""
        if not self._is_open:
            self._is_open = True
            await self._tx.savepoint()

    async def _close_savepoint(self, *, keep: bool) -> None:
        """Keep what was written, or undo it."""
        if self._is_open:
            self._is_open = False
            await (self._tx.release() if keep else self._tx.rollback())

    async def _record(self, path: str, kind: str, outcome: StepOutcome) -> None:
        """Record a step that ended within this advance."""
        await self._open_savepoint()
        now_ms = self._tx.now_ms
        await self._tx.insert_steps([StepRow(self._row.id, path, kind, encode(outcome), now_ms)])
        self._steps[path] = Recorded(kind, outcome, now_ms)

    async def _send(self, replay: Replay) -> bool:
        """Insert rows for what is wanted and not open yet; True if a wait was met at once."""
        open_paths = {r.path for r in self._open_rows if r.state is State.DUE}
        met = False
        new: list[MessageRow] = []
        try:
            for want in replay.wants:
                if want.path in open_paths:
                    continue
                found = await self._kept_event(want) if isinstance(want, Wait) else None
                if found is not None:
                    await self._record(want.path, want.kind, found)
                    met = True
                else:
                    new += self._rows(want)
            if new:
                await self._means.letters.insert(self._tx, new)
        except (MessageTooLarge, NotCarried, NotDeclared) as exc:  # it could never leave
            replay.park(exc)
            return False
        self._effects.rows += new
        return met

    def _rows(self, want: Want) -> Sequence[MessageRow]:
        ledger, letters, now_ms = self._means.ledger, self._means.letters, self._tx.now_ms
        cause, effects = self._advancing.cause, self._effects
        made: list[MessageRow] = []
        match want:
            case Call():
                if letters.is_own(want.command):
                    raise NotDeclared(
                        f"a saga of {ledger.service} calls {want.command.name}, which the same "
                        "service handles; do it with `await saga.local(…)`"
                    )
                made = letters.rows(want.command, now_ms, cause=cause, effects=effects)
                limit_ms = ledger.schedule.saga_timeout_ms
                if want.timeout is not None:  # nought is a time-out, too
                    limit_ms = _ms(want.timeout)
                made[0].expires_at = expires_at = now_ms + limit_ms
                made[0].due_at = min(made[0].due_at or expires_at, expires_at)
            case UndoCall():
                made = letters.rows(
                    want.undo,
                    now_ms,
                    cause=cause,
                    effects=effects,
                    about=want.about,
                    known=want.known,
                )
                made[0].expires_at = now_ms + ledger.schedule.undo_parks_ms
            case Sleep():
                made = [letters.own_row(Kind.TIMER, now_ms + _ms(want.duration), now_ms)]
                made[0].body = self._advancing.mark.encode()
            case Wait():
                for topic in want.events:
                    row = letters.own_row(Kind.WAIT, now_ms + _ms(want.timeout), now_ms)
                    row.topic, row.body = topic, want.kind.encode()
                    made.append(row)
        for row in made:
            row.owner, row.path = self._row.id, want.path
        return made

    async def _kept_event(self, want: Wait) -> StepOutcome | None:
        """Return the first event that is kept for a wait; deliveries wait until the commit."""
        for topic in sorted(want.events):
            await self._tx.lock_topic(topic)
        kept = [
            row
            for topic in want.events
            for row in await self._tx.messages_of_topic(topic)
            if row.kind is Kind.EVENT and row.state is State.DONE
        ]
        if not kept:
            return None
        first = min(kept, key=lambda row: row.id)
        letter = msgspec.json.decode(first.body, type=Letter)
        return StepOutcome("event", letter.body, letter.type, first.id)

    async def _local_step(
        self,
        path: str,
        kind: str,
        function: Callable[..., object],
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> None:
        """Run a local function, and record how it ended."""
        await self._open_savepoint()
        try:
            outcome = await self._local(path, function, args, kwargs)
        except Failure as failure:
            outcome = _recordable(function, refusal_of(failure))
        await self._record(path, kind, outcome)

    async def _local(
        self,
        path: str,
        function: Callable[..., Any],
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> StepOutcome:
        """Run a local function in a savepoint of the advancing transaction."""
        tx, row, stored = self._tx, self._row, self._stored
        unit = Unit(
            self._means.units,
            derived_id(row.id, f"local:{stored.restarts}/{path}", row.started_at),
            tx.now_ms,
            what=f"{row.type}:{path}",
            cause=self._advancing.cause,
        )
        unit.tx, unit.shut = tx, True
        mark = self._effects.mark()
        await tx.savepoint()
        try:
            value = await Driver(function(unit, *args, **kwargs), unit).to_end()
            await self._means.settle(unit, self._effects)
            outcome = _recordable(function, local_outcome(function, value))
        except Exception:  # raised again: the function's writes are undone
            self._effects.back_to(mark)
            await tx.rollback()
            raise
        await tx.release()
        return outcome


def _recordable(function: Callable[..., object], outcome: StepOutcome) -> StepOutcome:
    """Return how a local step ended. Raises MessageTooLarge."""
    bounded(bytes(outcome.body), f"what {function.__name__} says to its saga")
    return outcome


def stored_input(row: SagaRow) -> SagaInput:
    """Return what a saga was started with."""
    return msgspec.json.decode(row.input, type=SagaInput)


def given_to(kind: SagaType, stored: SagaInput) -> Model:
    """Return a saga's input as its function takes it. Raises ValidationError if it does not fit."""
    given: Model = carrier_of(kind.input_type).decode(bytes(stored.body))
    return given


def withdrawal(row: MessageRow, now_ms: int, ledger: Ledger, *, keep: bool) -> MessageRow:
    """Return a command's row turned into its withdrawal: same id, the answer ends both."""
    letter = SagaStep(row).letter
    withdraw = row.copy()
    withdraw.kind, withdraw.state = Kind.WITHDRAW, State.DUE
    withdraw.due_at = now_ms + ledger.schedule.resend_ms
    withdraw.expires_at, withdraw.tries = None, 1
    withdraw.body = encode(
        Letter(
            id=letter.id,
            kind=Kind.WITHDRAW,
            type=letter.type,
            about=letter.id,
            correlation=letter.correlation,
            trace=letter.trace,
            tracestate=letter.tracestate,
            baggage=letter.baggage,
        )
    )
    if not keep:
        withdraw.owner = withdraw.path = None
    return withdraw


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
