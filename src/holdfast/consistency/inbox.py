"""The inbox: takes parcels in, from those who may send them.

A first delivery runs at once and its row commits with the effect. Whatever may not be the first
is put into the table before it is acknowledged, and from there only the table runs it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from uuid import UUID

import msgspec

from holdfast.consistency.cleaning import DELETE_MAX, Cleaning
from holdfast.consistency.handling import Handling
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.meeting import Meetings
from holdfast.consistency.received import Noticed, Received
from holdfast.consistency.replies import Replies
from holdfast.consistency.senders import NotTaken, Senders
from holdfast.consistency.turn import Effects
from holdfast.consistency.unknown import unknown_here
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import EdgeRow, Kind, Letter, Parcel
from holdfast.storage import Transaction

_PARCELS = msgspec.json.Decoder(Parcel)
_LETTERS = msgspec.json.Decoder(Letter)
NAMED = 5  # types, in one line


class Inbox:
    """Takes parcels for one service.

    Args:
        wake: called when rows were put into the table that are due now.
        told: (sender, what it sent, why) of what is refused, for the audit log.
    Attributes:
        refused: how many parcels and letters were not taken, by the reason.
    """

    def __init__(
        self,
        ledger: Ledger,
        senders: Senders,
        writer: Writer,
        received: Received,
        handling: Handling,
        meetings: Meetings,
        replies: Replies,
        cleaning: Cleaning,
        wake: Callable[[], None],
        notice: Noticed,
        told: Callable[[str, str, str], None],
    ) -> None:
        self._ledger = ledger
        self._senders = senders
        self._writer = writer
        self._received = received
        self._handling = handling
        self._meetings = meetings
        self._replies = replies
        self._cleaning = cleaning
        self._floors: dict[int, UUID] = {}  # the latest of each edge
        self._wake = wake
        self._notice, self._told = notice, told
        self.refused = Counter[NotTaken]()

    async def deliver(self, raw: bytes, again: bool, sender: str) -> None:
        """Take a parcel; when this returns, it need not be delivered again.

        What is not committed by then is due in its sender's table, which sends it again: a letter
        whose transactions were all lost, or of which a copy is under way. What is refused leaves
        nothing in the tables, and would be refused again.

        Args:
            again: the broker may have brought it before.
            sender: who published it, by the broker's word; empty where it cannot know.
        """
        try:
            parcel = _PARCELS.decode(raw)
            letters = list(map(_LETTERS.decode, parcel.letters))
        except msgspec.DecodeError as exc:  # to deliver it again would not help
            self._notice("parcel.refused", sender=sender, error=str(exc))
            self._told(sender or "unknown", "a parcel", "it cannot be read")
            return
        refusal = self._refusal(parcel, sender)
        if refusal is not None:
            self._refuse(parcel, sender or parcel.sender, refusal)
        elif parcel.answers:
            await self._replies.take(parcel)
        elif (edge_id := self._ledger.edge_from(parcel.sender, parcel.lane)) is None:
            self._refuse(parcel, parcel.sender, NotTaken.EDGE)
        else:
            edge, allowed = self._ledger.edges[edge_id], self._allowed(parcel, letters)
            await self._take(edge, parcel, allowed, again=again or parcel.again)

    def _refusal(self, parcel: Parcel, sender: str) -> NotTaken | None:
        """Say why a parcel is not taken: it must be from whom it says, and along an edge."""
        if parcel.answers:
            return self._senders.refusal_of_answers(parcel, sender)
        return self._senders.refusal_of_letters(parcel, sender)

    def _allowed(self, parcel: Parcel, letters: list[Letter]) -> list[Letter]:
        """Return those of a parcel's letters that its sender may send."""
        allows, sender = self._senders.allows, parcel.sender
        forbidden = [letter for letter in letters if not allows(sender, letter)]
        if not forbidden:
            return letters
        self._refuse(parcel, sender, NotTaken.MESSAGE, forbidden)
        return [letter for letter in letters if allows(sender, letter)]

    def _refuse(
        self, parcel: Parcel, sender: str, refusal: NotTaken, letters: Sequence[Letter] = ()
    ) -> None:
        """Count and tell what is not taken: a line for each parcel, whatever is in it."""
        self.refused[refusal] += len(letters) or 1
        says = f"{parcel.sender} to {parcel.receiver}"
        if parcel.answers:
            self._notice("answer.refused", sender=sender, reason=refusal.value, says=says)
            self._told(sender, f"answers, {says}", refusal.value)
            return
        types = ", ".join(sorted({f"{one.kind} {one.type}" for one in letters})[:NAMED])
        self._notice("letter.refused", sender=sender, reason=refusal.value, says=says, types=types)
        self._told(sender, f"{types or 'letters'}, {says}", refusal.value)

    async def _take(
        self, edge: EdgeRow, parcel: Parcel, letters: Sequence[Letter], *, again: bool
    ) -> None:
        if parcel.floor is not None:
            await self._lower(edge, parcel.floor)
        work: list[Coroutine[object, None, None]] = []
        new: list[Letter] = []
        later: list[Letter] = []
        for letter in letters:
            if letter.kind is Kind.WITHDRAW:
                work.insert(0, self._meetings.withdraw(edge, letter))
            elif again:
                later.append(letter)
            elif letter.kind is Kind.UNDO and not letter.known:
                work.append(self._meetings.undo(edge, letter, None))
            else:
                new.append(letter)
        if new:
            work.append(self._handling.run_new(edge, new))
        if later:
            work.append(self._take_due(edge, later))
        if len(work) == 1:
            await work[0]
        elif work:
            await asyncio.gather(*work)

    async def _lower(self, edge: EdgeRow, floor: UUID) -> None:
        if edge.floor is not None and floor <= edge.floor:
            return
        floors = self._floors
        floors[edge.id] = max(floor, floors.get(edge.id, floor))

        async def set_floor(tx: Transaction) -> int:
            return await tx.set_floor(edge.id, floors[edge.id], DELETE_MAX)

        await self._cleaning.take(f"edge {edge.id}", set_floor)

    async def _take_due(self, edge: EdgeRow, letters: Sequence[Letter]) -> None:
        """Put letters into the table in one turn; those that are there already are answered."""

        async def take(tx: Transaction, effects: Effects) -> None:
            rows = [self._received.new_row(edge, letter, due_at=tx.now_ms) for letter in letters]
            for row, letter in zip(rows, letters, strict=True):
                row.tries = 0  # the claim that runs it counts the first try
                if not self._senders.knows(letter):
                    row.error = unknown_here(letter.type, self._ledger.service)
            new = await tx.insert_messages(rows, above_floor=True)
            fresh = {row.id for row in new}
            for letter in letters:
                if letter.id not in fresh:
                    await self._received.answer_again(tx, edge, letter, effects)
            if new:
                effects.done.append(self._wake)

        await self._writer.perform_own(take)
