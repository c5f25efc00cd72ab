"""Causal order: by time, but nothing before what it came of, whatever the clocks of hosts say."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.story.entry import Entry


@dataclass(slots=True)
class Line:
    """Entries as they are added, each with what it came of."""

    entries: list[Entry] = field(default_factory=list[Entry])
    _causes: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])

    def add(self, entry: Entry, *causes: int) -> int:
        """Add an entry that came of others; return its number."""
        self.entries.append(entry)
        self._causes.append(causes)
        return len(self.entries) - 1

    def ordered(self) -> list[Entry]:
        """Return all in causal order; of those that could come next the earliest, then the first.

        One without a time comes as soon as what it came of is there.
        """
        return [self.entries[number] for number in _sorted(self.entries, self._causes)]


def _sorted(entries: Sequence[Entry], causes: Sequence[tuple[int, ...]]) -> list[int]:
    waits = [len(set(before)) for before in causes]
    then: list[list[int]] = [[] for _ in entries]
    for number, before in enumerate(causes):
        for cause in set(before):
            then[cause].append(number)
    heap = [(entries[n].at, n) for n, count in enumerate(waits) if not count]
    heapq.heapify(heap)
    found: list[int] = []
    while heap:
        _, number = heapq.heappop(heap)
        found.append(number)
        for follower in then[number]:
            waits[follower] -= 1
            if not waits[follower]:
                heapq.heappush(heap, (entries[follower].at, follower))
    return found
