"""Letters that wait for room in a window: the oldest goes first, whatever way it came here."""

from collections.abc import Iterable
from heapq import heappop, heappush

from holdfast.contract.envelope import MessageRow

READY_MAX = 4_096  # letters of one edge; more are found again in the table


class Ready:
    """The letters of one edge that wait for room.

    Ids grow with time. What is there already keeps its place; a withdrawal takes its command's.
    """

    def __init__(self) -> None:
        self._ids: list[int] = []  # a heap of the keys of `_rows`: numbers compare faster than ids
        self._rows: dict[int, MessageRow] = {}
        self.more = False  # some were turned away, and wait in the table alone

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, rows: Iterable[MessageRow]) -> None:
        """Put letters in, as many as there is room for."""
        for row in rows:
            id_ = row.id.int
            if id_ not in self._rows:
                if len(self._ids) >= READY_MAX:
                    self.more = True
                    continue
                heappush(self._ids, id_)
            self._rows[id_] = row

    def pop(self) -> MessageRow:
        """Take the oldest letter out."""
        return self._rows.pop(heappop(self._ids))
