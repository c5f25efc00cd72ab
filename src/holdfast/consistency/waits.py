"""What sagas wait for: an event, or time."""

import msgspec

from holdfast.consistency.ledger import Ledger
from holdfast.consistency.received import Noticed, Received
from holdfast.consistency.rows import SagaStep
from holdfast.consistency.sagas import Sagas
from holdfast.consistency.steps import Ended, StepOutcome
from holdfast.consistency.turn import Effects
from holdfast.consistency.unknown import NotKnown, UnknownWork, waiting
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import Kind, Letter, MessageRow, State
from holdfast.storage import Transaction


class SagaWaits:
    """Lets the sagas of one service go on that wait for an event, or for time to pass."""

    def __init__(
        self,
        ledger: Ledger,
        writer: Writer,
        sagas: Sagas,
        received: Received,
        unknown: UnknownWork,
        notice: Noticed,
    ) -> None:
        self._ledger = ledger
        self._writer = writer
        self._sagas = sagas
        self._received = received
        self._unknown = unknown
        self._notice = notice

    async def meet(self, tx: Transaction, event: MessageRow, effects: Effects) -> None:
        """Let the sagas go on that wait for this event."""
        if event.topic is None:
            return
        await tx.lock_topic(event.topic)
        letter = msgspec.json.decode(event.body, type=Letter)
        for wait in await tx.messages_of_topic(event.topic):
            if wait.kind is not Kind.WAIT or wait.owner is None:
                continue
            if await tx.delete_message(wait.edge, wait.id, State.DUE):
                step = SagaStep(wait)
                await self._end_others(tx, step)
                outcome = StepOutcome("event", letter.body, letter.type, event.id)
                ended = Ended(step.path, step.waits_for, outcome, letter.trace)
                await self._sagas.advance(tx, step.saga, [ended], effects)

    async def _end_others(self, tx: Transaction, met: SagaStep) -> None:
        """End what else a saga waited for at the same place: the first event has come."""
        if "|" not in met.waits_for:
            return
        for other in await tx.messages_of_owner(met.saga):
            if other.kind is Kind.WAIT and other.path == met.path:
                await tx.delete_message(other.edge, other.id, State.DUE)

    async def over(self, row: MessageRow) -> None:
        """A saga's sleep is over, or its wait."""

        async def wake(tx: Transaction, effects: Effects) -> None:
            if await tx.delete_message(row.edge, row.id, State.DUE) is None:
                return
            step, slept = SagaStep(row), row.kind is Kind.TIMER
            outcome = StepOutcome("slept" if slept else "event")
            kind = "sleep" if slept else step.waits_for
            ended = Ended(step.path, kind, outcome, step.mark)
            await self._sagas.advance(tx, step.saga, [ended], effects)

        async def wait(tx: Transaction, effects: Effects) -> None:
            waits = waiting(row, str(unknown), tx.now_ms, self._ledger.schedule)
            await tx.update_message(waits, State.DUE, held=self._received.token(row))

        try:
            await self._writer.perform_own(wake)
            return
        except NotKnown as exc:
            unknown = exc
        await self._writer.perform_own(wait)
        self._unknown.met()
        self._notice("saga.waits", cause=unknown.cause, id=str(row.owner), error=str(unknown))
