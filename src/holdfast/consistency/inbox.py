"""The inbox: takes parcels in.

A first delivery runs at once and its row commits with the effect. Whatever may not be the first
is put into the table before it is acknowledged, and from there only the table runs it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from uuid import UUID

import msgspec

from holdfast.consistency.handling import Handling
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.meeting import Meetings
from holdfast.consistency.received import Noticed, Received
from holdfast.consistency.replies import Replies
from holdfast.consistency.turn import Effects
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import EdgeRow, Kind, Letter, Parcel
from holdfast.storage import Transaction

_PARCELS = msgspec.json.Decoder(Parcel)
_LETTERS = msgspec.json.Decoder(Letter)
DELETE_MAX = 512  # rows that one transaction deletes


class Inbox:
    """Takes parcels for one service.

    Args:
        wake: called when rows were put into the table that are due now.
    """

    def __init__(
        self,
        ledger: Ledger,
        writer: Writer,
        received: Received,
        handling: Handling,
        meetings: Meetings,
        replies: Replies,
        wake: Callable[[], None],
        notice: Noticed,
    ) -> None:
        self._ledger = ledger
        self._writer = writer
        self._received = received
        self._handling = handling
        self._meetings = meetings
        self._replies = replies
        self._wake = wake
        self._notice = notice

    async def deliver(self, raw: bytes, again: bool) -> None:
        """Take a parcel; when this returns, it need not be delivered again.

        What is not committed by then is due in its sender's table, which sends it again: a letter
        whose transactions were all lost, or of which a copy is under way.

        Args:
            again: the broker may have brought it before.
        """
        try:
            parcel = _PARCELS.decode(raw)
            letters = list(map(_LETTERS.decode, parcel.letters))
        except msgspec.DecodeError as exc:  # to deliver it again would not help
            self._notice("parcel.refused", error=str(exc))
            return
        if parcel.answers:
            await self._replies.take(parcel)
            return
        edge_id = self._ledger.edge_from(parcel.sender, parcel.lane)
        if edge_id is None:
            self._notice("letter.refused", sender=parcel.sender, reason="no such edge")
            return
        edge = self._ledger.edges[edge_id]
        if parcel.floor is not None:
            await self._lower(edge, parcel.floor)
        is_first = not (again or parcel.again)
        work: list[Coroutine[object, None, None]] = []
        later: list[Letter] = []
        for letter in letters:
            if letter.kind is Kind.WITHDRAW:
                work.insert(0, self._meetings.withdraw(edge, letter))
            elif not is_first:
                later.append(letter)
            elif letter.kind is Kind.UNDO and not letter.known:
                work.append(self._meetings.undo(edge, letter, None))
            else:
                work.append(self._handling.run(edge, letter, None))
        if later:
            work.append(self._take_due(edge, later))
        if len(work) == 1:
            await work[0]
        elif work:
            await asyncio.gather(*work)

    async def _lower(self, edge: EdgeRow, floor: UUID) -> None:
        if edge.floor is not None and floor <= edge.floor:
            return
        deleted = DELETE_MAX

        async def set_floor(tx: Transaction, effects: Effects) -> None:
            nonlocal deleted
            deleted = await tx.set_floor(edge.id, floor, DELETE_MAX)

        while deleted >= DELETE_MAX:
            await self._writer.perform_own(set_floor)

    async def _take_due(self, edge: EdgeRow, letters: Sequence[Letter]) -> None:
        """Put letters into the table in one turn; those that are there already are answered."""

        async def take(tx: Transaction, effects: Effects) -> None:
            rows = [self._received.new_row(edge, letter, due_at=tx.now_ms) for letter in letters]
            for row in rows:
                row.tries = 0  # the claim that runs it counts the first try
            new = await tx.insert_messages(rows, above_floor=True)
            fresh = {row.id for row in new}
            for letter in letters:
                if letter.id not in fresh:
                    await self._received.answer_again(tx, edge, letter, effects)
            if new:
                effects.done.append(self._wake)

        await self._writer.perform_own(take)
