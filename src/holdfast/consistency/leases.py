"""Leases: a handler that works for long keeps its letter to itself.

A claimed row belongs to whoever claimed it until its `due_at`. While the handler works, its
process moves that on, by the database's clock. A letter that is run at its first delivery has no
row yet; it gets one before its sender would send it again. Whoever finds that the row is not its
own any more has lost it, and nothing of that run is kept.
"""

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from holdfast.consistency.delivery import Delivery, LeaseLost
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.received import Noticed, Received
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.turn import Effects, RunAgain
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import MessageRow, State
from holdfast.storage import Transaction


@dataclass(frozen=True, slots=True)
class LeaseStats:
    """Leases of one service in this process: held now, and counts since the start."""

    held: int
    renewed: int
    lost: int


@dataclass(slots=True, eq=False)
class _Lease:
    """One handler at work.

    Attributes:
        limit: what ends its work; see `Schedule.work_ms`.
        renew_at: loop time. since: loop time at which the work began.
    """

    delivery: Delivery
    limit: asyncio.Timeout
    since: float
    renew_at: float
    said: bool = False
    lost: bool = False


def look_every_s(schedule: Schedule) -> float:
    """Return how often leases are looked at, in seconds.

    A third of a lease, so that two looks may fail; and a quarter of a sender's patience: a letter
    without a row is let be for so long, and has one at the next look, before it comes again.
    """
    return min(schedule.lease_ms / 3, schedule.resend_ms / 4) / 1000


class Leases:
    """Renews what handlers of one service work on, by one statement a look.

    Only handlers that wait for something before their first statement are known here; the others
    end in the writer's next transaction.
    """

    def __init__(self, ledger: Ledger, writer: Writer, received: Received, notice: Noticed) -> None:
        self._ledger = ledger
        self._writer = writer
        self._received = received
        self._notice = notice
        self._held: dict[_Lease, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._renewed = self._lost = 0

    @contextmanager
    def keep(self, delivery: Delivery, limit: asyncio.Timeout) -> Generator[None]:
        """Keep a letter as long as the block lasts. Raises LeaseLost where it was lost."""
        now = asyncio.get_running_loop().time()
        pause_s = look_every_s(self._ledger.schedule)
        if delivery.row is not None:
            pause_s = self._ledger.schedule.lease_ms / 3000
        lease = _Lease(delivery, limit, now, now + pause_s)
        if self._ledger.safe.lease_renewed:
            self._held[lease] = None
            if self._task is None:
                self._task = asyncio.create_task(self._look(), name="leases")
        try:
            yield
        finally:
            self._held.pop(lease, None)
            if lease.lost:
                raise _lost(delivery)

    async def holds(self, delivery: Delivery) -> bool:
        """Renew the claim of a letter now; return whether it is this process's still, if it was."""
        kept: list[MessageRow] = []

        async def renew(tx: Transaction, effects: Effects) -> None:
            assert delivery.row is not None, "it was claimed"
            kept[:] = await tx.renew([delivery.row], self._ledger.schedule.lease_ms)

        if delivery.row is None:
            return True
        await self._writer.perform_own(renew)
        if kept:
            delivery.row = kept[0]
        return bool(kept)

    async def _look(self) -> None:
        """Renew what is due for it, as long as anything is held."""
        loop = asyncio.get_running_loop()
        try:
            while self._held:
                await asyncio.sleep(look_every_s(self._ledger.schedule))
                if any(lease.renew_at <= loop.time() for lease in self._held):
                    await self._renew(loop.time())
        finally:
            self._task = None

    async def _renew(self, now: float) -> None:
        stored: list[tuple[_Lease, MessageRow | None]] = []
        lost: list[_Lease] = []

        async def renew(tx: Transaction, effects: Effects) -> None:
            del stored[:], lost[:]
            due = [lease for lease in self._held if lease.renew_at <= now]
            rows = [lease.delivery.row for lease in due if lease.delivery.row is not None]
            kept = await tx.renew(rows, self._ledger.schedule.lease_ms)
            by_key = {(row.edge, row.id): row for row in kept}
            for lease in due:
                delivery = lease.delivery
                if delivery.row is None:
                    row = await self._take(tx, delivery)
                else:
                    row = by_key.get((delivery.row.edge, delivery.row.id))
                if row is None:
                    lost.append(lease)
                    continue
                stored.append((lease, delivery.row))
                delivery.row = row  # a turn that shares this transaction must find it so

        try:
            await self._writer.perform_own(renew)
        except Exception as exc:  # whatever it was: the next look tries again, a lease has three
            for lease, was in stored:
                lease.delivery.row = was
            if not isinstance(exc, RunAgain):
                logging.getLogger("holdfast").warning("leases: %r", exc)
            return
        self._renewed += len(stored)
        for lease, _ in stored:
            lease.renew_at = now + self._ledger.schedule.lease_ms / 3000
            if not lease.said and lease in self._held:
                lease.said = True
                letter = lease.delivery.letter
                self._notice(
                    "letter.takes_long",
                    cause=letter,
                    type=letter.type,
                    letter=str(letter.id),
                    seconds=now - lease.since,
                )
        for lease in lost:
            self._give_up(lease, now)

    async def _take(self, tx: Transaction, delivery: Delivery) -> MessageRow | None:
        """Give a first delivery its row, claimed; None if another copy has it."""
        row = self._received.new_row(delivery.edge, delivery.letter)
        row.due_at = tx.now_ms + self._ledger.schedule.lease_ms
        if await tx.insert_messages([row], above_floor=True):
            return row
        found = await tx.lock_message(row.edge, row.id)
        if found is None or found.state is not State.DUE or found.tries > 0:
            return None
        if not await tx.update_message(row, State.DUE, held=found.due_at):
            return None
        return row  # it came again, and nobody has begun with the copy

    def _give_up(self, lease: _Lease, now: float) -> None:
        if lease not in self._held:
            return  # it has ended meanwhile; its commit is refused
        lease.lost = True
        self._lost += 1
        letter = lease.delivery.letter
        self._notice(
            "letter.lease_lost",
            cause=letter,
            type=letter.type,
            letter=str(letter.id),
            seconds=now - lease.since,
        )
        lease.limit.reschedule(now)  # what still waits is ended; a thread goes on to its end

    def stats(self) -> LeaseStats:
        """Return the counts."""
        return LeaseStats(len(self._held), self._renewed, self._lost)

    def close(self) -> None:
        """Renew nothing more."""
        if self._task is not None:
            self._task.cancel()


def _lost(delivery: Delivery) -> LeaseLost:
    letter = delivery.letter
    return LeaseLost(
        f"{letter.type} {letter.id} was claimed by another process while its handler worked here; "
        "nothing of this run is kept"
    )
