"""Sagas: every advance is one transaction over the saga's row.

Lock the row, insert the step that has ended, run the function over the steps, insert the letters
that it wants next, commit. Any worker can do it; nothing is held between.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from pydantic_core import ValidationError

from holdfast.consistency.ledger import MESSAGE_BYTES_MAX, Ledger, encode
from holdfast.consistency.replay import Call, Replay, Sleep, UndoCall, Wait, Want, derived_id
from holdfast.consistency.steps import (
    CANCELLED,
    Ended,
    Recorded,
    StepOutcome,
    local_outcome,
    recorded,
    refusal_of,
)
from holdfast.consistency.unit import Driver, Start, Unit
from holdfast.consistency.unknown import NotKnown
from holdfast.consistency.writer import Effects
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
from holdfast.errors import (
    Conflict,
    MessageTooLarge,
    NotCarried,
    NotDeclared,
    SagaTooLong,
)
from holdfast.storage import Transaction

_LETTERS = (Kind.COMMAND, Kind.WITHDRAW, Kind.UNDO)
RESTARTS_MAX = 100  # in one advance; a saga that restarts without waiting never ends


@dataclass(frozen=True, slots=True)
class SagaType:
    """A saga as the core runs it; `settings` are its further arguments, by name."""

    name: str
    function: Callable[..., Any]
    version: int
    input_type: type[Model]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def runs(self) -> Callable[..., Coroutine[Any, Any, None]]:
        """Return what takes a saga and its input."""
        return partial(self.function, **self.settings) if self.settings else self.function


SagaEnded = Callable[[str, str, int], None]
"""Called with (type, outcome, duration in ms) after the commit that ended a saga."""

SagaParked = Callable[[str, UUID, str], None]
"""Called with (type, id, error) after the commit that parked a saga."""


@dataclass(slots=True)
class _Advance:
    """One advance of one saga; its savepoint is opened by the first thing that it writes."""

    tx: Transaction
    row: SagaRow
    steps: dict[str, Recorded]
    effects: Effects
    stored: SagaInput
    opened: bool = False

    async def open(self) -> None:
        """Begin to write what a parked run must not leave behind."""
        if not self.opened:
            self.opened = True
            await self.tx.savepoint()

    async def record(self, path: str, kind: str, outcome: StepOutcome) -> None:
        """Record a step that ended within this advance."""
        await self.open()
        now_ms = self.tx.now_ms
        await self.tx.insert_steps([StepRow(self.row.id, path, kind, encode(outcome), now_ms)])
        self.steps[path] = Recorded(kind, outcome, now_ms)

    async def close(self, *, keep: bool) -> None:
        """Keep what was written, or undo it."""
        if self.opened:
            await (self.tx.release() if keep else self.tx.rollback())


class Sagas:
    """Starts and advances the sagas of one service."""

    def __init__(
        self,
        ledger: Ledger,
        types: Mapping[str, SagaType],
        ended: SagaEnded | None = None,
        parked: SagaParked | None = None,
    ) -> None:
        self._ledger = ledger
        self._types = types
        self._by_function = {t.function: t for t in types.values()}
        names: dict[Callable[..., Any], tuple[str, ...]] = {}
        for name, kind in types.items():
            names[kind.function] = (*names.get(kind.function, ()), name)
        ledger.saga_names = names
        self._ended = ended
        self._parked = parked

    @property
    def known(self) -> dict[str, int]:
        """Return {type: version} of the sagas that this version goes on with."""
        return {name: kind.version for name, kind in self._types.items()}

    async def settle(self, unit: Unit, effects: Effects) -> None:
        """Flush a unit: its writes, its letters, and the sagas that it starts."""
        await unit.flush()
        tx = unit.tx
        assert tx is not None
        starts, unit.starts = unit.starts, []
        for start in starts:
            kind = self._by_function.get(start.function)
            if kind is None:
                raise NotDeclared(
                    f"{start.function.__name__} is not a saga of {self._ledger.service}; "
                    f"write `@{self._ledger.service}.saga` above it"
                )
            body = _input_of(kind, start.input)
            row = SagaRow(
                start.id,
                kind.name,
                kind.version,
                "running",
                encode(SagaInput(msgspec.Raw(body), unit.correlation, unit.trace, kind.version)),
                start.key,
                started_at=tx.now_ms,
            )
            if not await self._is_taken(tx, start) and await tx.insert_saga(row):
                await self._go_on(tx, row, kind, {}, effects)
        effects.rows += unit.rows
        unit.rows = []

    async def _is_taken(self, tx: Transaction, start: Start) -> bool:
        """Whether a saga that was started under another name of the function has the key."""
        names = self._ledger.saga_names[start.function]
        if start.key is None or len(names) == 1:
            return False
        return await tx.saga_of_key(names, start.key) is not None

    async def advance(
        self,
        tx: Transaction,
        saga: UUID,
        ended: Sequence[Ended],
        effects: Effects,
    ) -> None:
        """Record all steps that have ended, then go on: one whose row is gone is not open."""
        row = await tx.lock_saga(saga)
        if row is None or row.ended_at is not None:
            return
        known = self._known(row)
        steps = recorded(await tx.steps(saga))
        once = self._ledger.safe.advance_once
        news = [step for step in ended if not (once and step.path in steps)]  # write-once
        rows = [
            StepRow(saga, step.path, step.kind, encode(step.outcome), tx.now_ms)
            for step in news
            if step.path not in steps
        ]
        if rows:
            await tx.insert_steps(rows)
        steps |= {s.path: Recorded(s.kind, s.outcome, tx.now_ms) for s in news}
        if news and row.state == "running":
            await self._go_on(tx, row, known, steps, effects)

    def stranger(self, row: SagaRow) -> str:
        """Return why this version cannot go on with a saga; "" if it can."""
        known = self._types.get(row.type)
        if known is None:
            return f"saga {row.type} {row.id} is not known to this process"
        if row.version > known.version:
            return (
                f"saga {row.type} {row.id} is at version {row.version}, this process has "
                f"{known.version}"
            )
        return ""

    def _known(self, row: SagaRow) -> SagaType:
        """Return the saga's type. Raises NotKnown: a process that knows it goes on with it."""
        why, known = self.stranger(row), self._types.get(row.type)
        if known is None or (why and self._ledger.safe.older_version_hands_back):
            raise NotKnown(why)
        return known

    async def resume(self, tx: Transaction, saga: UUID, effects: Effects) -> SagaRow | None:
        """Run a parked saga again, for an operator.

        Raises:
            NotKnown: a process of another version must do it.
        """
        row = await tx.lock_saga(saga)
        if row is None or row.ended_at is not None:
            return row
        known, was = self._known(row), _changes(row)
        row.state, row.error = "running", None
        await self._go_on(tx, row, known, recorded(await tx.steps(saga)), effects, was)
        return row

    async def cancel(self, tx: Transaction, saga: UUID, effects: Effects) -> SagaRow | None:
        """Let a saga take no further step, and undo what it did, for an operator.

        What it waits for it waits for no more. A command that is under way ends as by its time-out:
        one with an undo is held for that, one without is withdrawn, and its answer waited for.

        Raises:
            NotKnown: a process of another version must do it.
            Conflict: its function does not come to a command that is under way.
        """
        row = await tx.lock_saga(saga)
        if row is None or row.ended_at is not None:
            return row
        known, was = self._known(row), _changes(row)
        stored = msgspec.json.decode(row.input, type=SagaInput)
        steps = recorded(await tx.steps(saga))
        open_rows = await tx.messages_of_owner(saga)
        calls = [r for r in open_rows if r.kind is Kind.COMMAND and r.state is State.DUE]
        wants = await self._calls_wanted(tx, row, known) if calls else {}
        for call in calls:
            ended = await self._stop_waiting(tx, call, wants, effects)
            if ended is not None:
                steps[ended.path] = Recorded(ended.kind, ended.outcome, tx.now_ms)
        for other in open_rows:
            if other.kind in (Kind.TIMER, Kind.WAIT):
                await tx.delete_message(other.edge, other.id, State.DUE)
        row.input = encode(msgspec.structs.replace(stored, cancelled=stored.cancelled or tx.now_ms))
        row.state, row.error = "running", None
        await self._go_on(tx, row, known, steps, effects, was)
        return row

    async def _stop_waiting(
        self, tx: Transaction, call: MessageRow, wants: Mapping[str, Call], effects: Effects
    ) -> Ended | None:
        """Wait no more for a command's answer; return how its step ended, if it has."""
        assert call.owner is not None and call.path is not None
        want = wants.get(call.path)
        letter = msgspec.json.decode(call.body, type=Letter)
        if want is None:
            raise Conflict(
                f"its function does not come to step {call.path}, {letter.type}, which is under "
                "way: nobody knows what would undo it; deploy a function that fits, and try again"
            )
        if want.undo is None:
            withdrawal = self.withdrawal(call, tx.now_ms, keep=True)
            await tx.update_message(withdrawal, State.DUE)
            effects.rows.append(withdrawal)
            return None
        await self.hold(tx, call)
        outcome = StepOutcome("unanswered", type=CANCELLED, letter=call.id)
        ended = Ended(call.path, step_kind(letter), outcome)
        await tx.insert_steps(
            [StepRow(call.owner, ended.path, ended.kind, encode(outcome), tx.now_ms)]
        )
        return ended

    async def hold(self, tx: Transaction, call: MessageRow) -> None:
        """Keep a command's row, for which nobody waits any more, until its undo is answered."""
        if self._ledger.safe.held_until_undone:
            held = call.copy()
            held.state, held.due_at, held.expires_at = State.HELD, None, None
            await tx.update_message(held, State.DUE)
        else:
            await tx.delete_message(call.edge, call.id, State.DUE)

    async def pass_parked_undo(self, tx: Transaction, saga: UUID, effects: Effects) -> None:
        """Let the next undo go: one was unanswered for so long that it does not hold it up."""
        row = await tx.lock_saga(saga)
        if row is not None and row.state == "running":
            await self._go_on(tx, row, self._known(row), recorded(await tx.steps(saga)), effects)

    async def pending_call(self, tx: Transaction, saga: UUID, path: str) -> Call | None:
        """Return the command step that waits at a path, by running the function once more.

        None if the function does not wait there: the saga is parked, or has changed.
        """
        row = await tx.lock_saga(saga)
        if row is None or row.state != "running":
            return None
        return (await self._calls_wanted(tx, row, self._known(row))).get(path)

    async def _calls_wanted(self, tx: Transaction, row: SagaRow, kind: SagaType) -> dict[str, Call]:
        """Return {path: command step} of those that the function waits for, if it waits."""
        try:
            input_, stored = self._input(row, kind)
        except ValidationError:
            return {}
        steps = recorded(await tx.steps(row.id))
        advance = _Advance(tx, row, steps, Effects(), stored)
        replay = self._replay(advance, frozenset())
        ended = await replay.run(kind.runs(), input_)
        await advance.close(keep=False)
        wants = replay.wants if ended == "waiting" else ()
        return {want.path: want for want in wants if isinstance(want, Call)}

    # -- one advance ----------------------------------------------------------------------------

    def _input(self, row: SagaRow, kind: SagaType) -> tuple[Model, SagaInput]:
        stored = msgspec.json.decode(row.input, type=SagaInput)
        return carrier_of(kind.input_type).decode(bytes(stored.body)), stored

    def _replay(
        self,
        advance: "_Advance",
        parked: frozenset[str],
        open_paths: frozenset[str] = frozenset(),
    ) -> Replay:
        stored = advance.stored

        async def local(
            path: str, kind: str, function: Callable[..., Any], args: Any, kwargs: Any
        ) -> None:
            await advance.open()
            try:
                value = await self._local(advance, path, function, args, kwargs)
                outcome = local_outcome(function, value)
            except Failure as failure:
                outcome = refusal_of(failure)
            await advance.record(path, kind, outcome)

        return Replay(
            advance.row.id,
            advance.steps,
            local,
            started_at=stored.began_at or advance.row.started_at,
            restarts=stored.restarts,
            version=_began(advance.row, stored),
            parked_undos=parked,
            cancelled=stored.cancelled,
            open_paths=open_paths,
            safe=self._ledger.safe,
            describe=self._ledger.describe,
        )

    async def _go_on(
        self,
        tx: Transaction,
        row: SagaRow,
        kind: SagaType,
        steps: dict[str, Recorded],
        effects: Effects,
        was: tuple[object, ...] | None = None,
    ) -> None:
        """Run the function until it waits or ends, and write what follows.

        `was`: what is stored of the row, if `row` has been changed since.
        """
        resumed, was = was is not None, was or _changes(row)
        try:
            input_, stored = self._input(row, kind)
        except ValidationError as exc:  # the model has changed since it was started
            said = self._ledger.describe(exc)
            self._park(row, kind, f"its input does not fit any more: {said}", effects)
            if was != _changes(row):
                await tx.update_saga(row)
            return
        restarts = 0
        while True:
            kept = len(effects.rows), len(effects.done)
            advance = _Advance(tx, row, steps, effects, stored)
            replay, open_rows = await self._run(advance, kind, input_, look=resumed)
            met = False
            if replay.ended == "waiting":
                try:
                    met = await self._send(advance, stored, replay.wants, open_rows)
                except (MessageTooLarge, NotCarried, NotDeclared) as exc:  # it could never leave
                    replay.park(exc)
            body = b""
            if replay.ended == "restarted":
                try:
                    body = _input_of(kind, replay.restart_input)
                except (MessageTooLarge, NotCarried) as exc:
                    replay.park(exc)
            if restarts > RESTARTS_MAX:
                replay.park(SagaTooLong(f"it restarted {restarts} times without waiting"))
            if replay.ended == "parked":  # what it did in this advance is undone; the steps stay
                del effects.rows[kept[0] :], effects.done[kept[1] :]
            await advance.close(keep=replay.ended != "parked")
            if replay.ended == "restarted":
                restarts += 1
                await self._close(tx, replay, open_rows, effects)
                assert replay.restart_input is not None
                stored = SagaInput(
                    msgspec.Raw(body),
                    stored.correlation,
                    stored.trace,
                    kind.version,
                    restarts=stored.restarts + 1,
                    began_at=replay.now_ms,
                )
                row.input, row.version = encode(stored), kind.version
                await tx.delete_steps(row.id)
                steps.clear()
                input_ = replay.restart_input
                continue
            if not met:
                break  # otherwise a wait was met by an event that had come before
        await self._conclude(tx, row, kind, replay, open_rows, effects)
        if was != _changes(row):
            await tx.update_saga(row)

    async def _run(
        self, advance: "_Advance", kind: SagaType, input_: Model, *, look: bool
    ) -> tuple[Replay, list[MessageRow]]:
        """Run the function; look up its open rows only where one of them may matter."""
        cancelled = advance.stored.cancelled
        open_rows = await advance.tx.messages_of_owner(advance.row.id) if cancelled else []
        open_paths = frozenset(r.path for r in open_rows if r.path and r.state is State.DUE)
        replay = self._replay(advance, frozenset(), open_paths)
        await replay.run(kind.runs(), input_)
        wants = replay.wants
        undoing = any(isinstance(want, UndoCall) for want in wants)
        paths = [want.path for want in wants] if replay.ended == "waiting" else advance.steps
        grouped = len(wants) > 1 or any("." in path for path in paths)
        ended = replay.ended == "restarted" or bool(replay.withdrawn)
        if not (look or undoing or grouped or ended or cancelled):
            return replay, []
        open_rows = await advance.tx.messages_of_owner(advance.row.id)
        parked = frozenset(
            r.path for r in open_rows if r.path and r.kind is Kind.UNDO and r.expires_at is None
        )
        if undoing and parked:
            replay = self._replay(advance, parked, open_paths)
            await replay.run(kind.runs(), input_)
        replay.check_under_way(
            {
                row.path: step_kind(msgspec.json.decode(row.body, type=Letter))
                for row in open_rows
                if row.path and row.state is State.DUE and row.kind in _LETTERS
            }
        )
        return replay, open_rows

    async def _conclude(
        self,
        tx: Transaction,
        row: SagaRow,
        kind: SagaType,
        replay: Replay,
        open_rows: list[MessageRow],
        effects: Effects,
    ) -> None:
        row.version = kind.version
        if replay.ended == "parked":
            self._park(row, kind, replay.error, effects)
        elif replay.ended in ("completed", "failed"):
            row.state = "completed" if replay.ended == "completed" else "failed"
            row.ended_at = tx.now_ms
            row.error = replay.error or None
            await self._close(tx, replay, open_rows, effects)
            if self._ended is not None:
                ended, state, took = self._ended, row.state, tx.now_ms - row.started_at
                effects.done.append(lambda: ended(kind.name, state, took))
        else:
            row.error = None

    def _park(self, row: SagaRow, kind: SagaType, error: str, effects: Effects) -> None:
        row.state, row.error = "parked", error
        if self._parked is not None:
            effects.done.append(partial(self._parked, kind.name, row.id, error))

    async def _close(
        self, tx: Transaction, replay: Replay, open_rows: list[MessageRow], effects: Effects
    ) -> None:
        """A saga that ends, or restarts, without undoing an unanswered step withdraws it."""
        for row in open_rows:
            if row.state is State.HELD and row.id in replay.withdrawn:
                withdrawal = self.withdrawal(row, tx.now_ms, keep=False)
                if await tx.update_message(withdrawal, State.HELD):
                    effects.rows.append(withdrawal)
            elif row.kind in (Kind.TIMER, Kind.WAIT):
                await tx.delete_message(row.edge, row.id, State.DUE)

    def withdrawal(self, row: MessageRow, now_ms: int, *, keep: bool) -> MessageRow:
        """Return a command's row turned into its withdrawal: same id, the answer ends both."""
        letter = msgspec.json.decode(row.body, type=Letter)
        withdraw = row.copy()
        withdraw.kind, withdraw.state = Kind.WITHDRAW, State.DUE
        withdraw.due_at = now_ms + self._ledger.schedule.resend_ms
        withdraw.expires_at, withdraw.tries = None, 1
        withdraw.body = encode(
            Letter(
                id=letter.id,
                kind=Kind.WITHDRAW,
                type=letter.type,
                about=letter.id,
                correlation=letter.correlation,
                trace=letter.trace,
            )
        )
        if not keep:
            withdraw.owner = withdraw.path = None
        return withdraw

    async def _send(
        self,
        advance: "_Advance",
        stored: SagaInput,
        wants: list[Want],
        open_rows: list[MessageRow],
    ) -> bool:
        """Insert rows for what is wanted and not open yet; True if a wait was met at once."""
        tx, row = advance.tx, advance.row
        open_paths = {r.path for r in open_rows if r.state is State.DUE}
        met = False
        new: list[MessageRow] = []
        for want in wants:
            if want.path in open_paths:
                continue
            if isinstance(want, Wait):
                for topic in sorted(want.events):
                    await tx.lock_topic(topic)
                found = await self._kept_event(tx, want)
                if found is not None:
                    await advance.record(want.path, want.kind, found)
                    met = True
                    continue
                made = [self._waiting(want, topic, tx.now_ms) for topic in want.events]
            else:
                made = [self._row(want, tx.now_ms, stored)]
            for one in made:
                one.owner, one.path = row.id, want.path
            new += made
        if new:
            await self._ledger.insert_new(tx, new)
            advance.effects.rows += new
        return met

    def _waiting(self, want: Wait, topic: str, now_ms: int) -> MessageRow:
        row = self._own_row(Kind.WAIT, now_ms + _ms(want.timeout), now_ms)
        row.topic, row.body = topic, want.kind.encode()
        return row

    def _row(self, want: Call | UndoCall | Sleep, now_ms: int, stored: SagaInput) -> MessageRow:
        ledger = self._ledger
        match want:
            case Call():
                if ledger.receiver_of(want.command) == ledger.service:
                    raise NotDeclared(
                        f"a saga of {ledger.service} calls {want.command.name}, which the same "
                        "service handles; do it with `await saga.local(…)`"
                    )
                row = ledger.command_row(
                    want.command, now_ms, correlation=stored.correlation, trace=stored.trace
                )
                limit_ms = ledger.schedule.saga_timeout_ms
                if want.timeout is not None:  # nought is a time-out, too
                    limit_ms = _ms(want.timeout)
                row.expires_at = now_ms + limit_ms
                row.due_at = min(row.due_at or row.expires_at, row.expires_at)
                return row
            case UndoCall():
                row = ledger.command_row(
                    want.undo,
                    now_ms,
                    correlation=stored.correlation,
                    trace=stored.trace,
                    about=want.about,
                    known=want.known,
                )
                row.expires_at = now_ms + ledger.schedule.undo_parks_ms
                return row
            case Sleep():
                return self._own_row(Kind.TIMER, now_ms + _ms(want.duration), now_ms)

    def _own_row(self, kind: Kind, due_at: int, now_ms: int) -> MessageRow:
        ledger = self._ledger
        edge = ledger.edge_to(ledger.service)
        return MessageRow(edge, ledger.letter_id(now_ms), State.DUE, kind, due_at=due_at)

    async def _kept_event(self, tx: Transaction, want: Wait) -> StepOutcome | None:
        if not self._ledger.safe.keep_early_events:
            return None
        kept = [
            row
            for topic in want.events
            for row in await tx.messages_of_topic(topic)
            if row.kind is Kind.EVENT and row.state is State.DONE
        ]
        if not kept:
            return None
        first = min(kept, key=lambda row: row.id)
        letter = msgspec.json.decode(first.body, type=Letter)
        return StepOutcome("event", letter.body, letter.type, first.id)

    # -- local ----------------------------------------------------------------------------------

    async def _local(
        self,
        advance: "_Advance",
        path: str,
        function: Callable[..., Any],
        args: Any,
        kwargs: Any,
    ) -> Any:
        """Run a local function in a savepoint of the advancing transaction."""
        tx, row, effects, stored = advance.tx, advance.row, advance.effects, advance.stored
        unit = Unit(
            self._ledger,
            seed=derived_id(row.id, f"local:{stored.restarts}/{path}", row.started_at),
            at_ms=tx.now_ms,
            what=f"{row.type}:{path}",
            correlation=stored.correlation,
            trace=stored.trace,
        )
        unit.tx, unit.shut = tx, True
        made = Effects()
        await tx.savepoint()
        try:
            driver = Driver(function(unit, *args, **kwargs), unit)
            value = await driver.to_end()
            await self.settle(unit, made)
        except Exception:
            await tx.rollback()
            raise
        await tx.release()
        effects.rows += made.rows
        effects.done += made.done
        return value


def _began(row: SagaRow, stored: SagaInput) -> int:
    """Return the version that a saga began with; of an older one, that which advanced it last."""
    return stored.version or row.version


def _input_of(kind: SagaType, given: Model | None) -> bytes:
    """Return what a saga is started with, as it is stored. Raises NotCarried, MessageTooLarge."""
    body = carrier_of(kind.input_type).encode(given)
    if len(body) > MESSAGE_BYTES_MAX:
        raise MessageTooLarge(
            f"the input of {kind.name} is {len(body):,} bytes; the maximum is "
            f"{MESSAGE_BYTES_MAX:,}, as for what it sends: give it a reference instead"
        )
    return body


def _changes(row: SagaRow) -> tuple[object, ...]:
    """Return what an advance may change of a saga's row."""
    return row.version, row.state, row.error, row.input


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def step_kind(letter: Letter) -> str:
    """Return the `kind` under which a letter's answer is recorded as a step."""
    verb = "undo" if letter.kind is Kind.UNDO else "call"
    return f"{verb} {letter.type}"
