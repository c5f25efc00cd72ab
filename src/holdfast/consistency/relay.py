"""The relay: the claim loop over `due_at`, and the housekeeping of one service's tables.

It picks up what the direct way left: letters without an answer, handlers that failed, timers, and
rows of a process that died. It also announces floors and forgets what is settled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from holdfast.consistency.attention import failing_now
from holdfast.consistency.claimed import ClaimedRows
from holdfast.consistency.cleaning import DELETE_MAX, Cleaning
from holdfast.consistency.handling import Handling
from holdfast.consistency.high_water import HighWater
from holdfast.consistency.ledger import Ledger, encode
from holdfast.consistency.outbox import UNHEARD_S, Outbox
from holdfast.consistency.schedule import expired, floor_of, resend_at
from holdfast.consistency.turn import Effects, Own
from holdfast.consistency.unknown import UnknownWork
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import LetterAnswer, MessageRow, Parcel
from holdfast.errors import CallError
from holdfast.ports import Broker
from holdfast.storage import Transaction

CLAIM_MAX = 128
HASTEN_MAX = 1_024  # letters to one edge that are sent at once when it answers again


class Relay:
    """The background work of one service.

    Args:
        woken: set when the table is to be looked at now.
        kept_house: called after each housekeeping.
    """

    def __init__(
        self,
        ledger: Ledger,
        writer: Writer,
        handling: Handling,
        claimed: ClaimedRows,
        outbox: Outbox,
        broker: Broker,
        unknown: UnknownWork,
        cleaning: Cleaning,
        high_water: HighWater,
        woken: asyncio.Event,
        kept_house: Callable[[], Awaitable[None]],
    ) -> None:
        self._ledger = ledger
        self._writer = writer
        self._handling = handling
        self._claimed = claimed
        self._outbox = outbox
        self._broker = broker
        self._unknown = unknown
        self._cleaning = cleaning
        self._high_water = high_water
        self._woken = woken
        self._kept_house = kept_house
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._poll_s = ledger.schedule.poll_ms / 1000

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._loop(), name=f"{self._ledger.service} relay")

    async def stop(self) -> None:
        """Claim nothing more; wait for what is under way."""
        self._stopping = True
        self._woken.set()
        if self._task is not None:
            await self._task
        await self._claimed.idle()

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        keep_s = self._ledger.schedule.keep_ms / 1000
        keep_at = loop.time() + keep_s / 10
        while not self._stopping:
            self._woken.clear()
            pause_s = self._poll_s
            try:
                due_s = await self._due_in_s()
                due_at = loop.time() + due_s
                full = due_s <= 0 and await self.claim()
                soon = await self._look_after_edges()
                if loop.time() >= keep_at:
                    keep_at = loop.time() + keep_s
                    await self.keep_house()
                if due_s <= 0 and not full:  # what was due has been claimed
                    due_at = loop.time() + await self._due_in_s()
                pause_s = 0.0 if full else self._pause_s(due_at - loop.time())
                pause_s = min(pause_s, UNHEARD_S) if soon else pause_s
            except Exception as exc:  # whatever it was, the loop that heals must not end
                logging.getLogger("holdfast").warning("relay: %r", exc)
            try:
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _due_in_s(self) -> float:
        due_ms = await self._ledger.database.due_in_ms()
        return self._poll_s if due_ms is None else due_ms / 1000

    def _pause_s(self, due_s: float) -> float:
        if self._claimed.room <= 0:
            return self._poll_s  # it wakes this
        if not self._unknown.is_taken():
            return self._poll_s  # what is due may be left to others
        return min(self._poll_s, max(0.001, due_s))

    async def claim(self) -> bool:
        """Take what is due and have it run or sent again; say whether there may be more."""
        limit = min(CLAIM_MAX, self._claimed.room)
        if limit <= 0:
            return False
        claimed: list[MessageRow] = []
        late: list[MessageRow] = []
        ledger = self._ledger

        async def take(tx: Transaction, effects: Effects) -> None:
            claimed[:] = await tx.claim(
                limit, ledger.schedule.lease_ms, waiting=self._unknown.is_taken()
            )
            out = [row for row in claimed if ledger.is_out(row.edge)]
            late[:] = [row for row in out if expired(row, tx.now_ms)]
            for row in out:
                row.due_at = resend_at(row, tx.now_ms, ledger.schedule)
            if out:
                await tx.postpone(out)
            effects.done.append(lambda: self._handling.claimed_again(claimed))

        await self._writer.submit(Own(take))
        again: dict[int, list[MessageRow]] = {}
        for row in claimed:
            if not ledger.is_out(row.edge):
                self._claimed.run(row)
            elif row not in late:
                again.setdefault(row.edge, []).append(row)
        for edge, rows in again.items():
            self._outbox.send(edge, rows, again=True)
        for row in late:
            await self._expire(row)
        return len(claimed) == limit

    async def _look_after_edges(self) -> bool:
        """Send at once what waits for somebody who is back; learn what others were answered.

        Returns:
            whether a full window is to be looked at again before long: what has just left it may
            be answered meanwhile, and so may what goes where there is room now.
        """
        for edge in self._outbox.take_back():

            async def hasten(tx: Transaction, effects: Effects, edge: int = edge) -> None:
                await tx.hasten(edge, HASTEN_MAX)

            await self._writer.submit(Own(hasten))
            self._woken.set()
        soon = False
        for edge, letters in self._outbox.crowded():
            soon = soon or len(letters) < self._outbox.in_flight(edge)
            if letters:
                left = await self._ledger.database.unanswered(edge, letters)
                soon = soon or len(left) < len(letters)
                self._outbox.settled(edge, set(letters) - left)
        return soon

    async def _expire(self, row: MessageRow) -> None:
        """Send the time-out to oneself on the answers' lane, behind the answers that wait."""
        edge = self._ledger.edges[row.edge]
        parcel = Parcel(
            edge.sender, edge.receiver, edge.lane, answers=[LetterAnswer(row.id, "expired")]
        )
        try:
            await self._broker.publish(*parcel.address, encode(parcel), sender=self._ledger.service)
        except CallError:
            pass  # it is due again

    async def keep_house(self) -> None:
        """Announce floors, forget what is settled, and measure what waits.

        Letters to oneself settle in place; they are forgotten after 2T, like any other. A floor is
        stored before it is announced: no process of this service makes a letter below it any more.
        """
        schedule = self._ledger.schedule
        own = self._ledger.edge_to(self._ledger.service)
        floors: dict[int, UUID] = {}

        async def forget(tx: Transaction) -> int:
            return max(
                await tx.forget(DELETE_MAX),
                await tx.delete_ended_sagas(tx.now_ms - schedule.saga_kept_ms, DELETE_MAX),
                await tx.set_floor(own, floor_of(None, tx.now_ms, schedule), DELETE_MAX),
            )

        async def store_floors(tx: Transaction, effects: Effects) -> None:
            for edge in self._ledger.out_edges:
                oldest = await tx.oldest_unsettled(edge)
                floors[edge] = floor_of(oldest, tx.now_ms, schedule)
                await tx.set_floor(edge, floors[edge], DELETE_MAX)

        await self._cleaning.take("what is settled", forget)
        await self._writer.submit(Own(store_floors))
        declared = self._ledger.declared
        self._outbox.announce({edge: floor for edge, floor in floors.items() if edge in declared})
        failing = failing_now(int(self._ledger.clock.now() * 1000), schedule)
        ledger = self._ledger
        self._high_water.backlog = await ledger.database.backlog(ledger.out_edges, failing)
        await self._kept_house()
