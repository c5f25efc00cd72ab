"""The ledger: one service's four tables, the edges of its letters, and what it goes by."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.told import Describe, plain
from holdfast.contract.envelope import HTTP, EdgeRow, Lane
from holdfast.errors import MessageTooLarge, TransactionLost
from holdfast.ports import Clock, Ids
from holdfast.storage import Database

MESSAGE_BYTES_MAX = 256 * 1024

encode = msgspec.json.encode


def bounded(body: bytes, what: str) -> bytes:
    """Return what is answered or recorded. Raises MessageTooLarge: it is over 256 KiB."""
    if len(body) > MESSAGE_BYTES_MAX:
        raise MessageTooLarge(
            f"{what} is {len(body):,} bytes; the maximum is {MESSAGE_BYTES_MAX:,}"
        )
    return body


class BelowFloor(TransactionLost):
    """A letter's id is below a floor that was announced: its receiver would ignore it.

    Another replica has seen a later time of the database's clock than this one. Once that is
    looked at again, the transaction can be run again.
    """


@dataclass(slots=True)
class Ledger:
    """One service's tables, edges and clockwork; shared by all that work on them.

    Attributes:
        describe: what is written down of an error; a host's leaves secrets out.
        edges: {id: edge} as they are stored, known once the database is open.
        out_edges: the ids of those whose letters are ours to others.
        declared: the ids of those that the graph has; of one that was taken out of the code the
            unanswered letters are left, and its receiver wants none of them.
    """

    service: str
    database: Database
    clock: Clock
    ids: Ids
    schedule: Schedule = field(default_factory=Schedule)
    safe: Safeguards = ALL_ON
    describe: Describe = plain
    edges: dict[int, EdgeRow] = field(default_factory=dict[int, EdgeRow])
    out_edges: list[int] = field(default_factory=list[int])
    declared: frozenset[int] = frozenset()
    _out: frozenset[int] = frozenset()
    _by_pair: dict[tuple[str, str, Lane], int] = field(
        default_factory=dict[tuple[str, str, Lane], int]
    )

    def know(self, edges: list[EdgeRow], declared: Iterable[EdgeRow]) -> None:
        """Take over the stored edges, and which of them the graph has."""
        me = self.service
        self.edges = {edge.id: edge for edge in edges}
        self.out_edges = [e.id for e in edges if e.sender == me != e.receiver]
        self._out = frozenset(self.out_edges)
        self._by_pair = {(e.sender, e.receiver, e.lane): e.id for e in edges}
        self.declared = frozenset(self._by_pair[e.sender, e.receiver, e.lane] for e in declared)

    def edge_to(self, receiver: str, lane: Lane = Lane.WORK) -> int:
        """Return the id of the edge from this service to another (or to itself)."""
        return self._by_pair[self.service, receiver, lane]

    def edge_from(self, sender: str, lane: Lane = Lane.WORK) -> int | None:
        """Return the id of the edge from another service, or None if it may not send."""
        return self._by_pair.get((sender, self.service, lane))

    @property
    def http_edge(self) -> int:
        """The edge of HTTP requests with an Idempotency-Key."""
        return self._by_pair[HTTP, self.service, Lane.WORK]

    def is_out(self, edge: int) -> bool:
        """Whether rows of this edge are letters of ours to others."""
        return edge in self._out

    def seed(self, now_ms: int) -> UUID:
        """Return a fresh id that ids of one request derive from; `now_ms` is of any clock.

        It is none of those that grow: a host whose clock is ahead would take letters' ids along.
        """
        tail = int.from_bytes(self.ids.token(10), "big")
        high, low = (tail >> 64) & 0xFFF, tail & ((1 << 62) - 1)
        return UUID(int=(now_ms << 80) | (7 << 76) | (high << 64) | (2 << 62) | low)
