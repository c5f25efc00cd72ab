"""ClaimedRows: what is due in the table is run from there, and by nobody else meanwhile."""

import asyncio
from collections.abc import Callable

import msgspec

from holdfast.consistency.handling import Handling, insert_next
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.meeting import Meetings
from holdfast.consistency.received import Noticed, Received
from holdfast.consistency.schedule import expired
from holdfast.consistency.senders import Senders
from holdfast.consistency.told import place_of
from holdfast.consistency.transitions import after_failed_try, exhausted
from holdfast.consistency.turn import Effects
from holdfast.consistency.unknown import waits as waits_for_a_version
from holdfast.consistency.waits import SagaWaits
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import Kind, Letter, MessageRow, State
from holdfast.storage import Transaction

UNDER_WAY_MAX = 256  # claimed rows whose handlers run, or wait for their turn at an External


class ClaimedRows:
    """The claimed rows of one service that are under way in this process.

    Args:
        wake: called when there is room for more after there was none.
    """

    def __init__(
        self,
        ledger: Ledger,
        senders: Senders,
        writer: Writer,
        received: Received,
        handling: Handling,
        meetings: Meetings,
        waits: SagaWaits,
        wake: Callable[[], None],
        notice: Noticed,
    ) -> None:
        self._ledger = ledger
        self._senders = senders
        self._writer = writer
        self._received = received
        self._handling = handling
        self._meetings = meetings
        self._waits = waits
        self._wake = wake
        self._notice = notice
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def room(self) -> int:
        """How many more claimed rows may be under way; the others wait in the table."""
        return UNDER_WAY_MAX - len(self._tasks)

    def run(self, row: MessageRow) -> None:
        """Run a row that was claimed; it is not waited for."""
        task = asyncio.create_task(self._guarded(row))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if len(self._tasks) == UNDER_WAY_MAX // 2:
            self._wake()

    async def _guarded(self, row: MessageRow) -> None:
        letter: Letter | None = None
        try:
            if self._handling.is_running(row):
                return  # whoever works on it settles it
            if row.kind in (Kind.TIMER, Kind.WAIT):
                await self._waits.over(row)
                return
            letter = msgspec.json.decode(row.body, type=Letter)
            await self._run(row, letter)
        except Exception as exc:  # the root of a claimed row: its lease ends, it is claimed again
            self._notice(
                "letter.postponed",
                cause=letter,
                letter=str(row.id),
                error=self._ledger.describe(exc),
                at=place_of(exc),
            )

    async def _run(self, row: MessageRow, letter: Letter) -> None:
        edge = self._ledger.edges[row.edge]
        if row.kind is Kind.EVENT and row.topic is None:  # one that the service sent to itself
            row.topic = self._received.topic_of(letter)
        schedule = self._ledger.schedule
        strange = waits_for_a_version(row) and edge.sender != self._ledger.service
        claimed_at = (row.due_at or 0) - schedule.lease_ms  # by the database's clock
        if strange and not self._senders.allows(edge.sender, letter):  # this version knows it
            why = f"the graph does not let {edge.sender} send the {letter.kind} {letter.type}"
            await self._bury(row, letter, why)
        elif row.reached and expired(row, claimed_at):
            await self._bury(
                row,
                letter,
                "the External has forgotten its key: another try could be another effect; "
                "look there, then drop this letter",
            )
        elif exhausted(row, schedule):
            await self._bury(row, letter, "its last try ended with the process")
        elif letter.kind is Kind.UNDO and not letter.known and not row.reached:
            await self._meetings.undo(edge, letter, row)
        else:
            await self._handling.run(edge, letter, row, alone=row.tries >= 2)

    async def _bury(self, row: MessageRow, letter: Letter, why: str) -> None:
        """Make a letter dead without another try."""

        async def bury(tx: Transaction, effects: Effects) -> None:
            dead = after_failed_try(row, why, tx.now_ms, self._ledger.schedule)
            dead.state, dead.due_at = State.DEAD, None
            if await tx.update_message(dead, State.DUE, held=self._received.token(row)):
                await insert_next(tx, self._handling.find(letter.type))

        await self._writer.perform_own(bury)
        self._notice("letter.dead", cause=letter, type=letter.type, letter=str(row.id), error=why)

    async def idle(self) -> None:
        """Wait until nothing that was claimed is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
