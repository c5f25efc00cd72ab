"""Answers to our letters, and what happens when none comes in time."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import msgspec

from holdfast.consistency.heard import Heard
from holdfast.consistency.ledger import Ledger, encode
from holdfast.consistency.outbox import Outbox
from holdfast.consistency.received import Noticed
from holdfast.consistency.rows import SagaStep
from holdfast.consistency.sagas import Sagas
from holdfast.consistency.schedule import expired, resend_at
from holdfast.consistency.steps import Ended, StepOutcome, outcome_of
from holdfast.consistency.turn import Effects
from holdfast.consistency.unknown import NotKnown
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import Kind, Lane, LetterAnswer, MessageRow, Parcel, State
from holdfast.storage import Transaction


def heard(row: MessageRow) -> LetterAnswer | None:
    """Return what the receiver of an unanswered letter of ours last said of its failed tries."""
    if row.answer is None or row.state not in (State.DUE, State.HELD):
        return None
    return msgspec.json.decode(row.answer, type=LetterAnswer)


class Replies:
    """Takes the answers to one service's letters: a row ends here, and its saga goes on."""

    def __init__(
        self,
        ledger: Ledger,
        writer: Writer,
        outbox: Outbox,
        sagas: Sagas,
        heard: Heard,
        notice: Noticed,
    ) -> None:
        self._ledger = ledger
        self._writer = writer
        self._outbox = outbox
        self._sagas = sagas
        self._notice = notice
        self._heard = heard

    async def take(self, parcel: Parcel) -> None:
        """Answers to our letters."""
        try:
            edge_id = self._ledger.edge_to(parcel.receiver, parcel.lane)
        except KeyError:
            self._notice("answer.refused", sender=parcel.receiver, reason="edge")
            return
        ids = [answer.id for answer in parcel.answers]
        events = self._outbox.are_events(edge_id, ids)
        if not (events and self._heard.try_end(edge_id, ids)):
            try:
                await self._writer.perform_own(partial(self._record, edge_id, parcel.answers))
            except Exception:  # of one of them; the others go on
                for answer in parcel.answers:
                    await self._answer(edge_id, answer)
        self._outbox.answered(edge_id, ids)

    async def _answer(self, edge: int, answer: LetterAnswer) -> None:
        try:
            await self._writer.perform_own(partial(self._record, edge, [answer]))
        except Exception as exc:  # handed back: it is answered again on a re-send
            self._notice(
                "answer.handed_back",
                cause=exc.cause if isinstance(exc, NotKnown) else None,
                letter=str(answer.id),
                error=f"{type(exc).__name__}: {exc}",
            )

    async def _record(
        self, edge: int, answers: Sequence[LetterAnswer], tx: Transaction, effects: Effects
    ) -> None:
        """End the rows that are answered, all in one statement; let their sagas go on.

        Time-outs come last: an answer that is here is in time.
        """
        once = self._ledger.safe.advance_once
        states = (State.DUE,) if once else tuple(State)
        ends: list[LetterAnswer] = []
        late: list[LetterAnswer] = []
        for answer in answers:
            if answer.outcome == "expired":
                late.append(answer)
            elif answer.outcome != "taken" or await self._goes_on(tx, edge, answer, effects):
                ends.append(answer)
        if ends:
            await self._end(tx, edge, ends, states, effects)
        for answer in late:
            await self._goes_on(tx, edge, answer, effects)

    async def _end(
        self,
        tx: Transaction,
        edge: int,
        ends: Sequence[LetterAnswer],
        states: Sequence[State],
        effects: Effects,
    ) -> None:
        deleted = await tx.delete_messages(edge, [answer.id for answer in ends], *states)
        rows = {row.id: row for row in deleted}
        steps: dict[UUID, list[Ended]] = {}
        for answer in ends:
            row = rows.pop(answer.id, None)
            if row is None:
                continue  # a duplicate, or it came after the time-out: outcomes are write-once
            if row.owner is None:
                continue  # no saga waits for it
            step, outcome = SagaStep(row), StepOutcome("undone", letter=row.id)
            if row.kind is Kind.UNDO:
                held = self._ledger.edge_to(self._ledger.edges[edge].receiver, Lane.WORK)
                await tx.delete_message(held, step.command, State.HELD)
            else:
                outcome = outcome_of(answer)
            ended = Ended(step.path, step.kind, outcome, step.letter.trace)
            steps.setdefault(step.saga, []).append(ended)
        for saga, news in steps.items():
            await self._sagas.advance(tx, saga, news, effects)

    async def _goes_on(
        self, tx: Transaction, edge: int, answer: LetterAnswer, effects: Effects
    ) -> bool:
        """Note an answer that is not final for every letter; say whether it is for this one."""
        row = await tx.lock_message(edge, answer.id)
        if row is None or (row.state is not State.DUE and self._ledger.safe.advance_once):
            return False
        if answer.outcome == "expired":
            if expired(row, tx.now_ms):
                await self._time_out(tx, row, effects)
            return False
        if row.kind is Kind.EVENT:
            return True
        row.due_at = resend_at(row, tx.now_ms, self._ledger.schedule, taken=True)
        if answer.error:
            row.answer = encode(answer)
            await tx.update_message(row, row.state)
        else:
            await tx.postpone([row])
        return False

    async def _time_out(self, tx: Transaction, row: MessageRow, effects: Effects) -> None:
        """A saga waited long enough for this letter."""
        step = SagaStep(row)
        if row.kind is Kind.UNDO:  # it parks: tried for ever, and the next one may go
            row.expires_at = None
            row.due_at = resend_at(row, tx.now_ms, self._ledger.schedule)
            await tx.update_message(row, State.DUE)
            await self._sagas.pass_parked_undo(tx, step.saga, effects)
            return
        call = await self._sagas.pending_call(tx, step.saga, step.path)
        if call is None:
            return  # the saga is parked, or has changed: its time-out comes again
        if call.undo is None:
            await self._sagas.withdraw(tx, row, effects)
            return
        await self._sagas.hold(tx, row)
        outcome = StepOutcome("unanswered", letter=row.id)
        ended = Ended(step.path, step.kind, outcome, step.letter.trace)
        await self._sagas.advance(tx, step.saga, [ended], effects)
