"""Letters: the rows of what a service sends, made from what the graph says about each message."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from holdfast.consistency.ledger import MESSAGE_BYTES_MAX, BelowFloor, Ledger, encode
from holdfast.consistency.trail import Trail, UntracedTrail
from holdfast.consistency.turn import Effects
from holdfast.contract.carrier import Carrier, carrier_of
from holdfast.contract.cause import Cause
from holdfast.contract.envelope import Kind, Lane, Letter, MessageRow, State
from holdfast.contract.messages import AnyCommand, Event, Message, Undo
from holdfast.errors import MessageTooLarge, NotDeclared
from holdfast.storage import Transaction


@dataclass(frozen=True, slots=True)
class Addresses:
    """What one service may send, and to whom; derived from the graph.

    Attributes:
        owners: {wire name of a command or an undo: the service that handles it}.
        subscribers: {wire name of an event: services that hear it}.
    """

    owners: dict[str, str]
    subscribers: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Sort:
    """What is the same for all letters of one message type.

    Attributes:
        receivers: who gets one; of a command or an undo there is one.
    """

    wire: str
    kind: Kind
    lane: Lane
    receivers: tuple[str, ...]
    carrier: Carrier[Any]


class Letters:
    """Makes the letters of one service; each type's sort is looked up once."""

    def __init__(self, ledger: Ledger, addresses: Addresses, trail: Trail | None = None) -> None:
        self._ledger = ledger
        self._addresses = addresses
        self._trail = trail or UntracedTrail()
        self._sorts: dict[type[Message], Sort] = {}

    def sort_of(self, message: Message) -> Sort:
        """Return a message's sort. Raises NotDeclared."""
        kind = type(message)
        found = self._sorts.get(kind)
        if found is None:
            found = self._sorts[kind] = self._sort(message)
        return found

    def _sort(self, message: Message) -> Sort:
        kind, wire = type(message), message.wire_name()
        if isinstance(message, Event):
            hearing = self._addresses.subscribers.get(wire)
            if hearing is None:
                raise self._not_declared(f"publishes {message.name}", message.name, "publishes")
            return Sort(wire, Kind.EVENT, Lane.WORK, hearing, carrier_of(kind))
        owner = self._addresses.owners.get(wire)
        if owner is None:
            name = message.undoes.name if isinstance(message, Undo) else message.name
            raise self._not_declared(f"sends {message.name}", name, "calls")
        if not isinstance(message, Undo):
            return Sort(wire, Kind.COMMAND, Lane.WORK, (owner,), carrier_of(kind))
        return Sort(wire, Kind.UNDO, Lane.URGENT, (owner,), carrier_of(kind))

    def _not_declared(self, does: str, name: str, where: str) -> NotDeclared:
        service = self._ledger.service
        return NotDeclared(f"{service} {does}; add {name} to `{where}=[…]` of Service({service!r})")

    def payload_of(self, message: Message) -> bytes:
        """Return a message as it travels.

        Raises:
            NotDeclared: the service does not declare it.
            NotCarried: it would arrive changed.
            MessageTooLarge: it is over 256 KiB.
        """
        payload = self.sort_of(message).carrier.encode(message)
        if len(payload) > MESSAGE_BYTES_MAX:
            raise MessageTooLarge(
                f"{message.name} is {len(payload):,} bytes; the maximum is "
                f"{MESSAGE_BYTES_MAX:,}: send a reference instead"
            )
        return payload

    def is_own(self, message: AnyCommand) -> bool:
        """Whether the service itself handles a command. Raises NotDeclared."""
        return self.sort_of(message).receivers[0] == self._ledger.service

    def rows(
        self,
        message: AnyCommand | Undo[Any] | Event,
        now_ms: int,
        *,
        cause: Cause,
        effects: Effects,
        about: UUID | None = None,
        known: bool = False,
        delay_ms: int = 0,
        payload: bytes | None = None,
    ) -> list[MessageRow]:
        """Return the rows of a new letter: one per receiver, which for an event may be none.

        Args:
            effects: what is done once they are committed.
            about, known: of an undo, its command, and whether that is known to be done.
            payload: what `payload_of` made of the message, if it was asked already.
        Raises:
            NotDeclared, NotCarried, MessageTooLarge: see `payload_of`.
        """
        sort, ledger = self.sort_of(message), self._ledger
        body = msgspec.Raw(self.payload_of(message) if payload is None else payload)
        made: list[MessageRow] = []
        for receiver in sort.receivers:
            id_ = ledger.ids.uuid7(now_ms)
            carried, told = self._trail.letter(cause, sort.wire, receiver, id_)
            if told is not None:
                effects.done.append(told)
            letter = Letter(
                id_,
                sort.kind,
                sort.wire,
                body,
                about,
                known,
                correlation=carried.correlation,
                trace=carried.trace,
                tracestate=carried.tracestate,
                baggage=carried.baggage,
                subject=carried.subject,
            )
            # Born claimed: it is sent right after the commit, and due again if no answer comes.
            at_once = receiver != ledger.service and not delay_ms
            due_at: int | None = now_ms + (ledger.schedule.resend_ms if at_once else delay_ms)
            if at_once and not ledger.safe.send_until_answered:
                due_at = None
            made.append(
                MessageRow(
                    ledger.edge_to(receiver, sort.lane),
                    id_,
                    State.DUE,
                    sort.kind,
                    due_at=due_at,
                    tries=int(at_once),
                    about=about,
                    body=encode(letter),
                )
            )
        return made

    def own_row(self, kind: Kind, due_at: int, now_ms: int) -> MessageRow:
        """Return the row of a timer, or of a wait: a letter to oneself without a message."""
        edge, id_ = self._ledger.edge_to(self._ledger.service), self._ledger.ids.uuid7(now_ms)
        return MessageRow(edge, id_, State.DUE, kind, due_at=due_at)

    async def insert(self, tx: Transaction, rows: Sequence[MessageRow]) -> None:
        """Insert letters, timers and waits of this service's own making.

        Raises:
            BelowFloor: this process is behind the time at which a floor was announced.
        """
        ledger = self._ledger
        above = ledger.database.remote  # else there is no other
        if len(await tx.insert_messages(rows, above_floor=above, sure=True)) < len(rows):
            raise BelowFloor(f"{ledger.service} made a letter's id below a floor that it announced")
