"""Interventions: what an operator may do to the letters and sagas of one service."""

from collections.abc import Callable
from uuid import UUID

from holdfast.consistency.attention import attention, failing_now
from holdfast.consistency.core import Core
from holdfast.consistency.letters import Addresses, Letters
from holdfast.consistency.relay import HASTEN_MAX
from holdfast.consistency.turn import Effects
from holdfast.contract.cause import NO_CAUSE
from holdfast.contract.envelope import MessageRow
from holdfast.contract.messages import AnyCommand, Event
from holdfast.storage import Transaction

Change = Callable[[MessageRow, int], MessageRow]
"""Given a row and the database's time in ms, returns what it becomes."""


class Interventions:
    """Writes for an operator, each in a turn like any other."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def send(self, message: AnyCommand) -> UUID:
        """Take a command from an operator, as if the service had sent it to itself."""
        core, made = self._core, list[MessageRow]()
        to_itself = Addresses({message.wire_name(): core.ledger.service}, {})

        async def insert(tx: Transaction, effects: Effects) -> None:
            letters = Letters(core.ledger, to_itself)
            made[:] = letters.rows(message, tx.now_ms, cause=NO_CAUSE, effects=effects)
            await tx.insert_messages(made)
            effects.done.append(core.wake)

        await core.writer.perform_own(insert)
        return made[0].id

    async def publish(self, event: Event) -> list[UUID]:
        """Send an event to all who hear it, as if the service had published it."""
        core, made = self._core, list[MessageRow]()

        async def insert(tx: Transaction, effects: Effects) -> None:
            made[:] = core.letters.rows(event, tx.now_ms, cause=NO_CAUSE, effects=effects)
            await core.letters.insert(tx, made)
            effects.rows += made

        await core.writer.perform_own(insert)
        return [row.id for row in made]

    async def change_dead(self, letter: UUID, change: Change) -> MessageRow | None:
        """Replay or drop a letter that needs a person. None when there is none of that id."""
        core, changed = self._core, list[MessageRow]()

        async def write(tx: Transaction, effects: Effects) -> None:
            changed.clear()
            for edge in core.ledger.edges:
                row = await tx.lock_message(edge, letter)
                if row is None:
                    continue
                if attention(row, failing_now(tx.now_ms, core.ledger.schedule)):
                    new = change(row, tx.now_ms)
                    if await tx.update_message(new, row.state):
                        changed.append(new)
            effects.done.append(core.wake)

        await core.writer.perform_own(write)
        return changed[0] if changed else None

    async def hasten(self, edge: int, letter: UUID | None = None) -> int:
        """Let letters of an edge that were tried, or the one that is named, be due now."""
        core, count, hastened = self._core, 0, HASTEN_MAX

        async def write(tx: Transaction, effects: Effects) -> None:
            nonlocal hastened
            hastened = await tx.hasten(edge, HASTEN_MAX, sent_once=True, letter=letter)
            effects.done.append(core.wake)

        while hastened >= HASTEN_MAX:
            await core.writer.perform_own(write)
            count += hastened
        return count

    async def cancel_saga(self, saga: UUID) -> None:
        """Let a saga take no further step, and undo what it did. See `Sagas.cancel`."""

        async def cancel(tx: Transaction, effects: Effects) -> None:
            await self._core.sagas.cancel(tx, saga, effects)

        await self._core.writer.perform_own(cancel)

    async def retry_saga(self, saga: UUID) -> bool:
        """Run a parked saga again; False when there is none of that id."""
        found: list[bool] = []

        async def resume(tx: Transaction, effects: Effects) -> None:
            found[:] = [await self._core.sagas.resume(tx, saga, effects) is not None]

        await self._core.writer.perform_own(resume)
        return found[0]
