"""Meeting: an undo, or a withdrawal, meets its command at the command's own row.

Whichever of them comes second obeys the first.
"""

from uuid import UUID

from holdfast.consistency.handling import Handling
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.received import Received
from holdfast.consistency.transitions import Meeting, answer_again, meet, refused, settled
from holdfast.consistency.turn import Effects, Own, RunAgain
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import EdgeRow, Kind, Lane, Letter, LetterAnswer, MessageRow, State
from holdfast.storage import Transaction


class Meetings:
    """The undos and withdrawals that one service has received."""

    def __init__(
        self, ledger: Ledger, writer: Writer, received: Received, handling: Handling
    ) -> None:
        self._ledger = ledger
        self._writer = writer
        self._received = received
        self._handling = handling

    async def undo(self, edge: EdgeRow, letter: Letter, row: MessageRow | None) -> None:
        """Decide on an undo whose command may or may not have happened; run it if it has."""
        assert letter.about is not None
        about, schedule = letter.about, self._ledger.schedule
        goes_on: list[MessageRow] = []

        async def decide(tx: Transaction, effects: Effects) -> None:
            goes_on.clear()
            meeting, _ = await self._meet(tx, edge, about)
            own = row.copy() if row is not None else self._received.new_row(edge, letter)
            answer = LetterAnswer(letter.id, "taken")
            if meeting is Meeting.WAIT:
                own.due_at = tx.now_ms + schedule.resend_ms
            elif meeting is Meeting.DONE:
                own.due_at = tx.now_ms + schedule.lease_ms
            else:
                answer = LetterAnswer(letter.id, "reply")
                own = settled(own, answer)
            if not await self._received.write(tx, own, row):
                await self._received.answer_again(tx, edge, letter, effects)
            elif meeting is Meeting.DONE:
                goes_on.append(own)
            else:
                self._received.answer(effects, edge, answer)

        try:
            await self._writer.submit(Own(decide))
        except RunAgain:
            return  # it is sent again, or claimed again
        for own in goes_on:
            await self._handling.run(edge, letter, own, alone=own.tries >= 2)

    async def withdraw(self, edge: EdgeRow, letter: Letter) -> None:
        """A command without an undo is withdrawn: its answer is the step's outcome."""

        async def decide(tx: Transaction, effects: Effects) -> None:
            meeting, row = await self._meet(tx, edge, letter.id)
            if row is None:
                self._received.ignore(edge, letter, effects)
            elif meeting is Meeting.REFUSE:
                self._received.answer(effects, edge, LetterAnswer(letter.id, "refused"))
            else:
                self._received.answer(effects, edge, answer_again(row))

        await self._writer.perform_own(decide)

    async def _meet(
        self, tx: Transaction, edge: EdgeRow, command: UUID
    ) -> tuple[Meeting, MessageRow | None]:
        """Meet a command at its row, made now if it has none: the command is refused there.

        Without a row it is below the floor: settled long ago, and so is what meets it.
        """
        work = self._ledger.edge_from(edge.sender, Lane.WORK)
        assert work is not None, f"{edge.sender} has no work lane"
        tombstone = refused(MessageRow(work, command, State.DUE, Kind.COMMAND))
        await tx.insert_messages([tombstone], above_floor=True)
        row = await tx.lock_message(work, command)
        if row is None:
            return Meeting.NOTHING, None
        meeting = meet(row)
        if meeting is Meeting.REFUSE:
            changed = await tx.update_message(refused(row), row.state)
            assert changed, "the row was locked"
        return meeting, row
