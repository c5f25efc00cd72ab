"""Sagas: every advance is one transaction over the saga's row.

Lock the row, insert the step that has ended, run the function over the steps, insert the letters
that it wants next, commit. Any worker can do it; nothing is held between.
"""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import msgspec
from pydantic_core import ValidationError

from holdfast.consistency.advance import (
    Advance,
    Means,
    SagaEnded,
    SagaParked,
    SagaType,
    given_to,
    stored_input,
    untold,
    withdrawal,
)
from holdfast.consistency.ledger import Ledger, encode
from holdfast.consistency.letters import Letters
from holdfast.consistency.replay import Call
from holdfast.consistency.rows import SagaStep
from holdfast.consistency.steps import CANCELLED, Ended, Recorded, StepOutcome, recorded
from holdfast.consistency.trail import Trail, UntracedTrail
from holdfast.consistency.turn import Effects
from holdfast.consistency.unit import Start, Unit, Units
from holdfast.consistency.unknown import NotKnown
from holdfast.contract.envelope import Kind, MessageRow, SagaInput, SagaRow, State, StepRow
from holdfast.contract.model import Model
from holdfast.errors import Conflict, NotDeclared
from holdfast.storage import Transaction


def names_of(types: Mapping[str, SagaType]) -> dict[Callable[..., object], tuple[str, ...]]:
    """Return {a saga's function: the types under which its sagas are kept}."""
    names: dict[Callable[..., object], tuple[str, ...]] = {}
    for name, kind in types.items():
        names[kind.function] = (*names.get(kind.function, ()), name)
    return names


class Sagas:
    """Starts and advances the sagas of one service."""

    def __init__(
        self,
        ledger: Ledger,
        letters: Letters,
        units: Units,
        types: Mapping[str, SagaType],
        ended: SagaEnded = untold,
        parked: SagaParked = untold,
        trail: Trail | None = None,
    ) -> None:
        self._ledger = ledger
        self._types = types
        self._names = names_of(types)
        self._by_function: dict[Callable[..., object], SagaType] = {
            t.function: t for t in types.values()
        }
        trail = trail or UntracedTrail()
        self._means = Means(ledger, letters, units, self.settle, ended, parked, trail)

    @property
    def known(self) -> dict[str, int]:
        """Return {type: version} of the sagas that this version goes on with."""
        return {name: kind.version for name, kind in self._types.items()}

    async def settle(self, unit: Unit, effects: Effects) -> None:
        """Flush a unit: its writes, its letters, and the sagas that it starts."""
        await unit.flush(effects)
        if unit.starts:
            starts, unit.starts = unit.starts, []
            for start in starts:
                await self._start(start, unit, effects)

    async def _start(self, start: Start, unit: Unit, effects: Effects) -> None:
        kind, tx = self._by_function.get(start.function), unit.tx
        assert tx is not None, "a unit that is settled has a transaction"
        if kind is None:
            raise NotDeclared(
                f"{start.function.__name__} is not a saga of {self._ledger.service}; "
                f"write `@{self._ledger.service}.saga` above it"
            )
        body, given = kind.carried(start.input)
        cause = unit.cause
        stored = SagaInput(
            msgspec.Raw(body),
            kind.version,
            correlation=cause.correlation,
            trace=cause.trace,
            tracestate=cause.tracestate,
            baggage=cause.baggage,
            subject=cause.subject,
        )
        row = SagaRow(
            start.id,
            kind.name,
            kind.version,
            "running",
            encode(stored),
            start.key,
            started_at=tx.now_ms,
        )
        names = self._names[start.function]
        if start.key is not None and len(names) > 1 and await tx.saga_of_key(names, start.key):
            return  # one that was started under another name of the function has the key
        if await tx.insert_saga(row):
            await self._go_on(tx, row, kind, {}, effects, stored=stored, given=given)

    async def advance(
        self, tx: Transaction, saga: UUID, ended: Sequence[Ended], effects: Effects
    ) -> None:
        """Record all steps that have ended, then go on: one whose row is gone is not open."""
        row = await tx.lock_saga(saga)
        if row is None or row.ended_at is not None:
            return
        known = self._known(row)
        steps = recorded(await tx.steps(saga))
        once = self._ledger.safe.advance_once
        rows: list[StepRow] = []
        goes_on = False
        for step in ended:
            if step.path not in steps:
                rows.append(StepRow(saga, step.path, step.kind, encode(step.outcome), tx.now_ms))
            elif once:
                continue  # write-once
            steps[step.path] = Recorded(step.kind, step.outcome, tx.now_ms)
            goes_on = True
        if rows:
            await tx.insert_steps(rows)
        if goes_on and row.state == "running":
            links = [step.trace for step in ended if step.trace]
            await self._go_on(tx, row, known, steps, effects, links=links)

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
        known = self._types.get(row.type)
        if known is None or row.version > known.version:
            raise NotKnown(self.stranger(row), stored_input(row))
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
        steps = recorded(await tx.steps(saga))
        await self._go_on(tx, row, known, steps, effects, was=was, look=True)
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
        known, was, stored = self._known(row), _changes(row), stored_input(row)
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
        await self._go_on(tx, row, known, steps, effects, was=was, look=True)
        return row

    async def _stop_waiting(
        self, tx: Transaction, call: MessageRow, wants: Mapping[str, Call], effects: Effects
    ) -> Ended | None:
        """Wait no more for a command's answer; return how its step ended, if it has."""
        step = SagaStep(call)
        want = wants.get(step.path)
        if want is None:
            raise Conflict(
                f"its function does not come to step {step.path}, {step.letter.type}, which is "
                "under way: nobody knows what would undo it; deploy a function that fits, and try "
                "again"
            )
        if want.undo is None:
            await self.withdraw(tx, call, effects)
            return None
        await self.hold(tx, call)
        outcome = StepOutcome("unanswered", type=CANCELLED, letter=call.id)
        ended = Ended(step.path, step.kind, outcome)
        row = StepRow(step.saga, ended.path, ended.kind, encode(outcome), tx.now_ms)
        await tx.insert_steps([row])
        return ended

    async def withdraw(self, tx: Transaction, call: MessageRow, effects: Effects) -> None:
        """Withdraw a command without an undo; the answer to that is the step's outcome."""
        withdrawn = withdrawal(call, tx.now_ms, self._ledger, keep=True)
        await tx.update_message(withdrawn, State.DUE)
        effects.rows.append(withdrawn)

    async def hold(self, tx: Transaction, call: MessageRow) -> None:
        """Keep a command's row, for which nobody waits any more, until its undo is answered."""
        held = call.copy()
        held.state, held.due_at, held.expires_at = State.HELD, None, None
        await tx.update_message(held, State.DUE)

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
        stored = stored_input(row)
        try:
            given = given_to(kind, stored)
        except ValidationError:
            return {}
        steps = recorded(await tx.steps(row.id))
        means = self._means
        with means.trail.advance(row, stored, ()) as looking:  # never committed: it has no span
            advance = Advance(means, tx, row, kind, steps, Effects(), looking, stored, given)
            return await advance.wanted()

    async def _go_on(
        self,
        tx: Transaction,
        row: SagaRow,
        kind: SagaType,
        steps: dict[str, Recorded],
        effects: Effects,
        *,
        stored: SagaInput | None = None,
        given: Model | None = None,
        was: tuple[object, ...] | None = None,
        look: bool = False,
        links: Sequence[str] = (),
    ) -> None:
        """Run the function until it waits or ends, and write what follows.

        Args:
            stored, given: its input, where it is at hand.
            was: what is stored of the row, if `row` has been changed since.
            links: traceparents of what let it go on.
        """
        was = _changes(row) if was is None else was
        stored = stored_input(row) if stored is None else stored
        means = self._means
        with means.trail.advance(row, stored, links) as advancing:
            try:
                given = given_to(kind, stored) if given is None else given
            except ValidationError as exc:  # the model has changed since it was started
                said = self._ledger.describe(exc)
                means.park(row, kind.name, f"its input does not fit any more: {said}", effects)
            else:
                await Advance(means, tx, row, kind, steps, effects, advancing, stored, given).run(
                    look=look
                )
        effects.done.append(advancing.committed)
        if was != _changes(row):
            await tx.update_saga(row)


def _changes(row: SagaRow) -> tuple[object, ...]:
    """Return what an advance may change of a saga's row."""
    return row.version, row.state, row.error, row.input
