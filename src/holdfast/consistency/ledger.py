"""The ledger: one service's four tables, and what the graph says about its letters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from holdfast.consistency.columns import Columns
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.told import Describe, plain
from holdfast.contract.carrier import carrier_of
from holdfast.contract.envelope import (
    HTTP,
    EdgeRow,
    Kind,
    Lane,
    Letter,
    MessageRow,
    State,
)
from holdfast.contract.messages import Command, Event, Message, Undo
from holdfast.errors import MessageTooLarge, NotDeclared, TransactionLost
from holdfast.ports import Clock, Ids
from holdfast.storage import Database, Transaction

MESSAGE_BYTES_MAX = 256 * 1024

encode = msgspec.json.encode


class BelowFloor(TransactionLost):
    """A letter's id is below a floor that was announced: its receiver would ignore it.

    Another replica has seen a later time of the database's clock than this one. Once that is
    looked at again, the transaction can be run again.
    """


@dataclass(frozen=True, slots=True)
class Addresses:
    """What one service may send, and to whom; derived from the graph.

    Attributes:
        owners: {wire name of a command or an undo: the service that handles it}.
        subscribers: {wire name of an event: services that hear it}.
    """

    owners: dict[str, str]
    subscribers: dict[str, tuple[str, ...]]


@dataclass(slots=True)
class Ledger:
    """One service's tables, edges and clockwork; shared by all that work on them.

    Attributes:
        saga_names: {a saga's function: the types under which its sagas are kept}.
        witness: told of each unit of work in its transaction, right before it is flushed; the
            simulator counts effects by it.
        describe: what is written down of an error; a host's leaves secrets out.
    """

    service: str
    database: Database
    clock: Clock
    ids: Ids
    addresses: Addresses
    schedule: Schedule = field(default_factory=Schedule)
    safe: Safeguards = ALL_ON
    witness: Callable[[Any], None] | None = None
    saga_names: Mapping[Callable[..., Any], tuple[str, ...]] = field(
        default_factory=dict[Callable[..., Any], tuple[str, ...]]
    )
    describe: Describe = plain
    edges: dict[int, EdgeRow] = field(default_factory=dict[int, EdgeRow])
    columns: Columns = field(default_factory=Columns)
    _by_pair: dict[tuple[str, str, Lane], int] = field(
        default_factory=dict[tuple[str, str, Lane], int]
    )

    def know(self, edges: list[EdgeRow]) -> None:
        """Take over the stored edges."""
        self.edges = {edge.id: edge for edge in edges}
        self._by_pair = {(e.sender, e.receiver, e.lane): e.id for e in edges}

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
        found = self.edges[edge]
        return found.sender == self.service and found.receiver != self.service

    @property
    def out_edges(self) -> list[int]:
        """The edges to other services."""
        return [edge for edge in self.edges if self.is_out(edge)]

    def letter_id(self, now_ms: int) -> UUID:
        """Return a fresh time-ordered letter id; `now_ms` is of the database's clock."""
        return self.ids.uuid7(now_ms)

    def seed(self, now_ms: int) -> UUID:
        """Return a fresh id that ids of one request derive from; `now_ms` is of any clock.

        It is none of those that grow: a host whose clock is ahead would take letters' ids along.
        """
        tail = int.from_bytes(self.ids.token(10), "big")
        high, low = (tail >> 64) & 0xFFF, tail & ((1 << 62) - 1)
        return UUID(int=(now_ms << 80) | (7 << 76) | (high << 64) | (2 << 62) | low)

    async def insert_new(self, tx: Transaction, rows: Sequence[MessageRow]) -> None:
        """Insert letters, timers and waits of this service's own making.

        Raises:
            BelowFloor: this process is behind the time at which a floor was announced.
        """
        above = self.safe.sent_above_floor and self.database.remote  # else there is no other
        if len(await tx.insert_messages(rows, above_floor=above, sure=True)) < len(rows):
            raise BelowFloor(f"{self.service} made a letter's id below a floor that it announced")

    # -- outgoing rows --------------------------------------------------------------------------

    def command_row(
        self,
        message: Command[Any] | Undo[Any],
        now_ms: int,
        *,
        correlation: str,
        trace: str,
        about: UUID | None = None,
        known: bool = False,
        delay_ms: int = 0,
        payload: bytes | None = None,
    ) -> MessageRow:
        """Return the row of a new letter: a command on the work lane, an undo on the urgent one.

        Args:
            payload: what `payload_of` made of the message, if it was asked already.
        Raises:
            NotDeclared: the service does not declare the message.
            NotCarried, MessageTooLarge: see `payload_of`.
        """
        receiver = self.receiver_of(message)
        undo = isinstance(message, Undo)
        kind = Kind.UNDO if undo else Kind.COMMAND
        edge = self.edge_to(receiver, Lane.URGENT if undo and self.safe.two_lanes else Lane.WORK)
        return self._row(
            edge,
            message,
            kind,
            now_ms,
            correlation,
            trace,
            about=about,
            known=known,
            delay_ms=delay_ms,
            payload=payload,
        )

    def event_rows(
        self,
        event: Event,
        now_ms: int,
        *,
        correlation: str,
        trace: str,
        payload: bytes | None = None,
    ) -> list[MessageRow]:
        """Return one row per subscriber; none if there is none."""
        wire = event.wire_name()
        subscribers = self.addresses.subscribers.get(wire)
        if subscribers is None:
            raise NotDeclared(
                f"{self.service} publishes {event.name}; add {event.name} to `publishes=[…]` of "
                f"Service({self.service!r})"
            )
        return [
            self._row(
                self.edge_to(receiver),
                event,
                Kind.EVENT,
                now_ms,
                correlation,
                trace,
                payload=payload,
            )
            for receiver in subscribers
        ]

    def payload_of(self, message: Message) -> bytes:
        """Return a message as it travels.

        Raises:
            NotCarried: it would arrive changed.
            MessageTooLarge: it is over 256 KiB.
        """
        payload = carrier_of(type(message)).encode(message)
        if len(payload) > MESSAGE_BYTES_MAX and self.safe.encode_before_commit:
            raise MessageTooLarge(
                f"{message.name} is {len(payload):,} bytes; the maximum is "
                f"{MESSAGE_BYTES_MAX:,}: send a reference instead"
            )
        return payload

    def receiver_of(self, message: Message) -> str:
        """Return who handles a command or an undo. Raises NotDeclared."""
        receiver = self.addresses.owners.get(message.wire_name())
        if receiver is None:
            name = message.undoes.name if isinstance(message, Undo) else message.name
            raise NotDeclared(
                f"{self.service} sends {message.name}; add {name} to `calls=[…]` of "
                f"Service({self.service!r})"
            )
        return receiver

    def _row(
        self,
        edge: int,
        message: Message,
        kind: Kind,
        now_ms: int,
        correlation: str,
        trace: str,
        *,
        about: UUID | None = None,
        known: bool = False,
        delay_ms: int = 0,
        payload: bytes | None = None,
    ) -> MessageRow:
        id_ = self.letter_id(now_ms)
        payload = self.payload_of(message) if payload is None else payload
        letter = Letter(
            id=id_,
            kind=kind,
            type=message.wire_name(),
            body=msgspec.Raw(payload),
            about=about,
            known=known,
            correlation=correlation,
            trace=trace,
        )
        # Born claimed: it is sent right after the commit, and is due again if no answer comes.
        out = self.is_out(edge)
        wait_ms = self.schedule.resend_ms if out and not delay_ms else delay_ms
        again = self.safe.send_until_answered or not out or delay_ms > 0
        return MessageRow(
            edge,
            id_,
            State.DUE,
            kind,
            due_at=now_ms + wait_ms if again else None,
            tries=1 if out and not delay_ms else 0,
            about=about,
            body=encode(letter),
        )
