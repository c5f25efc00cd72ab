"""The core: everything that keeps one service's promises, and who is made of whom.

    Ledger        the tables, the edges, and what everybody goes by
    Senders       who may send this service what
    ├ Letters     makes the rows of what is sent
    ├ Units       make what a handler writes with
    ├ Outbox      sends what is committed, and gives answers
    ├ Writer      turns → one transaction, one commit → Outbox
    ├ Cleaning    forgets what is settled, in turns of the Writer
    ├ Heard       ends the rows of events that were heard, beside turns of others
    ├ Sagas       start and advance, with Letters and Units
    ├ Received    the inbox rows
    ├ Leases      keep a letter to the handler that works on it
    ├ SagaWaits   let sagas go on: by events, by time
    ├ Handling    a letter → its handler, in a turn of the Writer
    ├ Meetings    an undo, or a withdrawal, meets its command
    ├ ClaimedRows what is due in the table → Handling, Meetings, SagaWaits
    ├ Replies     answers to our letters → Sagas
    ├ Inbox       parcels of Senders → Handling, Meetings, Replies
    └ Relay       the claim loop and the housekeeping: → ClaimedRows, Outbox

Each is made of what stands above it. Nothing is bound later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from holdfast.consistency.advance import SagaEnded, SagaParked, SagaType, untold
from holdfast.consistency.claimed import ClaimedRows
from holdfast.consistency.cleaning import Cleaning
from holdfast.consistency.handling import Handled, Handling
from holdfast.consistency.heard import Heard
from holdfast.consistency.high_water import HighWater
from holdfast.consistency.inbox import Inbox
from holdfast.consistency.leases import Leases
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.letters import Addresses, Letters
from holdfast.consistency.meeting import Meetings
from holdfast.consistency.outbox import Outbox
from holdfast.consistency.received import Noticed, Received
from holdfast.consistency.relay import Relay
from holdfast.consistency.replies import Replies
from holdfast.consistency.sagas import Sagas, names_of
from holdfast.consistency.senders import Senders
from holdfast.consistency.trail import Trail
from holdfast.consistency.unit import Unit, Units
from holdfast.consistency.unknown import UnknownWork
from holdfast.consistency.waits import SagaWaits
from holdfast.consistency.writer import Waited, Writer
from holdfast.contract.envelope import Lane
from holdfast.contract.messages import Message
from holdfast.ports import Broker, Deliver, Prefetch


def counting(deliver: Deliver, prefetch: Prefetch) -> Deliver:
    """Count the parcels that are under way."""

    async def counted(raw: bytes, again: bool, sender: str) -> None:
        entered_at = prefetch.enter()
        try:
            await deliver(raw, again, sender)
        finally:
            prefetch.leave(entered_at)

    return counted


async def _nothing() -> None:
    """Nobody wants to be told."""


@dataclass(frozen=True, slots=True)
class Duties:
    """What a service declares, as its core wants it.

    Attributes:
        addresses: whom it may send what. senders: who may send it what.
        sagas: {type: saga}; one function may have several names.
        waited: {wire name: event} of those that its sagas may wait for.
        find: returns the handler of a message's wire name.
    """

    addresses: Addresses
    senders: Senders
    find: Callable[[str], Handled | None]
    sagas: Mapping[str, SagaType] = field(default_factory=dict[str, SagaType])
    waited: Mapping[str, type[Message]] = field(default_factory=dict[str, type[Message]])


@dataclass(frozen=True, slots=True)
class Observers:
    """Who is told what a core does.

    Attributes:
        notice: what an operator may want to know.
        committed: (turns of a commit, seconds that it took, those of them before it began).
        waited: (seconds that turns waited for theirs, the time, how many).
        kept_house: after each housekeeping.
        refused: (sender, what it sent, why) of a parcel or letters that were not taken.
        witness: see `Units`. trail: where spans are made of it.
    """

    notice: Noticed
    committed: Callable[[int, float, float], None] | None = None
    waited: Waited | None = None
    saga_ended: SagaEnded = untold
    saga_parked: SagaParked = untold
    kept_house: Callable[[], Awaitable[None]] = _nothing
    refused: Callable[[str, str, str], None] = lambda sender, what, why: None
    witness: Callable[[Unit], None] | None = None
    trail: Trail | None = None


class Core:
    """The parts of one service, made once; see the picture above."""

    def __init__(
        self,
        ledger: Ledger,
        broker: Broker,
        duties: Duties,
        observers: Observers,
        prefetch: Prefetch,
    ) -> None:
        notice, schedule = observers.notice, ledger.schedule
        woken = asyncio.Event()
        self._broker, self._prefetch = broker, prefetch
        self.wake = woken.set
        self.ledger = ledger
        self.high_water = HighWater(schedule.out_bytes_max)
        self.letters = Letters(ledger, duties.addresses, observers.trail)
        names = names_of(duties.sagas)
        self.units = Units(ledger, self.letters, names, observers.witness)
        self.outbox = Outbox(ledger, broker, self.wake)
        self.writer = Writer(
            ledger,
            self.outbox.after_commit,
            observe=observers.committed,
            waited=observers.waited,
        )
        self._cleaning = Cleaning(ledger, self.writer)
        self.heard = Heard(self.writer)
        self.sagas = Sagas(
            ledger,
            self.letters,
            self.units,
            duties.sagas,
            observers.saga_ended,
            observers.saga_parked,
            observers.trail,
        )
        unknown = UnknownWork(schedule)
        self.received = Received(ledger, duties.waited, notice)
        self.leases = Leases(ledger, self.writer, self.received, notice)
        waits = SagaWaits(ledger, self.writer, self.sagas, self.received, unknown, notice)
        self.handling = Handling(
            ledger,
            self.writer,
            self.sagas,
            self.units,
            self.received,
            self.leases,
            waits,
            unknown,
            duties.find,
            notice,
        )
        meetings = Meetings(ledger, self.writer, self.received, self.handling)
        self.claimed = ClaimedRows(
            ledger,
            duties.senders,
            self.writer,
            self.received,
            self.handling,
            meetings,
            waits,
            self.wake,
            notice,
        )
        self.inbox = Inbox(
            ledger,
            duties.senders,
            self.writer,
            self.received,
            self.handling,
            meetings,
            Replies(ledger, self.writer, self.outbox, self.sagas, self.heard, notice),
            self._cleaning,
            self.wake,
            notice,
            observers.refused,
        )
        self.relay = Relay(
            ledger,
            self.writer,
            self.handling,
            self.claimed,
            self.outbox,
            broker,
            unknown,
            self._cleaning,
            self.high_water,
            woken,
            observers.kept_house,
        )

    async def start(self) -> None:
        """Begin to take letters, and to look at the table."""
        service, deliver = self.ledger.service, self.inbox.deliver
        counted, allowed = counting(deliver, self._prefetch), self._prefetch.allowed
        await self._broker.subscribe(service, Lane.URGENT, deliver)
        await self._broker.subscribe(service, Lane.WORK, counted, allowed)
        self.relay.start()

    async def stop(self) -> None:
        """Finish what is under way; what is not begun stays in the tables."""
        await self.relay.stop()
        await self._cleaning.stop()
        self.leases.close()
        await self.writer.idle()
        await self.heard.idle()
        await self.outbox.idle()
