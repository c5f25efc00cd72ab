"""Events that were heard: their rows end with others' work, or soon on their own.

No saga waits for the answer to an event. Its row may stay a while longer: it is sent again only
after seconds, and would be answered once more.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from holdfast.consistency.turn import Turn
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import State
from holdfast.storage import Transaction

HEARD_MAX = 1_024  # events of one edge whose rows end together; who has more waits for a commit


class Ending(Turn):
    """Ends the rows of events of one edge.

    Attributes:
        ids: those of the events.
    """

    def __init__(self, edge: int) -> None:
        self.edge = edge
        self.ids: list[UUID] = []

    async def run(self, tx: Transaction) -> None:
        await tx.delete_messages(self.edge, self.ids, State.DUE)


class Heard:
    """Gathers the events of one service that were heard, until their rows have ended."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._open: dict[int, Ending] = {}  # by edge, those whose turn has not begun
        self._again: set[asyncio.Task[None]] = set()

    def try_end(self, edge: int, ids: Sequence[UUID]) -> bool:
        """End the rows of events in a while; False: too many wait for that."""
        ending = self._open.get(edge)
        if ending is None or ending.begun:
            ending = self._open[edge] = Ending(edge)
            ended = self._writer.beside(ending)
            ended.add_done_callback(partial(self._ended, ending))
        if len(ending.ids) + len(ids) > HEARD_MAX and ending.ids:
            return False
        ending.ids += ids
        return True

    def _ended(self, ending: Ending, ended: "asyncio.Future[None]") -> None:
        if self._open.get(ending.edge) is ending:
            del self._open[ending.edge]
        if not ended.cancelled() and ended.exception() is not None:
            ending.lost += 1
            task = asyncio.get_running_loop().create_task(self._end_again(ending))
            self._again.add(task)
            task.add_done_callback(self._again.discard)

    async def _end_again(self, ending: Ending) -> None:
        """End them in spite of a lost transaction."""
        try:
            await self._writer.perform(ending)
        except Exception:  # the rows are due in a while: the events are sent, and answered, again
            return

    async def idle(self) -> None:
        """Wait until all that were heard have ended."""
        await self._writer.idle()
        while self._again:
            await asyncio.gather(*self._again)
