"""What is settled is forgotten in bites, between which everybody else has his turn.

After an outage there may be a million rows. A bite is one turn of the writer, and the next one
comes after many times as long, which keeps cleaning to a share of the service's time, or sooner if
the service has had so many turns meanwhile that it settles more than that: cleaning keeps up with
any load. To wait for the writer counts as a pause.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from holdfast.consistency.ledger import Ledger
from holdfast.consistency.turn import Effects
from holdfast.consistency.writer import Writer
from holdfast.storage import Transaction

DELETE_MAX = 512  # rows that one transaction deletes
PAUSES = 49  # times as long as a bite took: a fiftieth of the time goes into cleaning
AHEAD = 2  # rows that are forgotten for each turn of the writer, at least

Bite = Callable[[Transaction], Awaitable[int]]
"""Forgets at most DELETE_MAX rows of each sort, and returns how many of the commonest."""


class Cleaning:
    """Forgets what one service no longer needs."""

    def __init__(self, ledger: Ledger, writer: Writer) -> None:
        self._ledger = ledger
        self._writer = writer
        self._going_on: dict[str, asyncio.Task[None]] = {}
        self._looked_at, self._turns = ledger.clock.monotonic(), 0

    def is_going_on(self, what: str) -> bool:
        """Whether more of this was left than one bite."""
        return what in self._going_on

    async def take(self, what: str, bite: Bite) -> None:
        """Take one bite; go on in the background if that was not all.

        Args:
            what: of which there is one at a time.
        """
        if what in self._going_on:
            return
        pause_s, more = await self._bite(bite)
        if more and what not in self._going_on:
            name = f"{self._ledger.service} forgets {what}"
            task = asyncio.create_task(self._go_on(bite, pause_s), name=name)
            self._going_on[what] = task
            task.add_done_callback(lambda _: self._going_on.pop(what))

    async def _go_on(self, bite: Bite, pause_s: float) -> None:
        more = True
        while more:
            await asyncio.sleep(pause_s)
            try:
                pause_s, more = await self._bite(bite)
            except Exception as exc:  # the next housekeeping begins again
                logging.getLogger("holdfast").warning("cleaning: %r", exc)
                return

    async def _bite(self, bite: Bite) -> tuple[float, bool]:
        """Return the seconds until the next one, and whether there may be more to forget."""
        clock, deleted, took_s = self._ledger.clock, 0, 0.0
        asked = clock.monotonic()

        async def forget(tx: Transaction, effects: Effects) -> None:
            nonlocal deleted, took_s
            begun = clock.monotonic()
            deleted = await bite(tx)
            took_s = clock.monotonic() - begun

        await self._writer.perform_own(forget)
        waited_s = clock.monotonic() - asked - took_s
        pause_s = min(PAUSES * took_s, DELETE_MAX / AHEAD / max(self._turns_a_second(), 1.0))
        return max(0.0, pause_s - waited_s), deleted >= DELETE_MAX

    def _turns_a_second(self) -> float:
        """Return how many turns the writer has had since this was asked last."""
        now, turns = self._ledger.clock.monotonic(), self._writer.stats().turns
        took_s, had = now - self._looked_at, turns - self._turns
        self._looked_at, self._turns = now, turns
        return had / took_s if took_s > 0 else 0.0

    async def stop(self) -> None:
        """Take no more; the rest is forgotten after the next start."""
        tasks = list(self._going_on.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
