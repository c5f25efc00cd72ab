"""The outbox: sends committed letters, sends them again, and gives answers.

A letter's row stays until its receiver has answered; the broker's word counts for nothing. What
does not fit into the window waits in the table.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar
from uuid import UUID

import msgspec

from holdfast.consistency.ledger import Ledger, encode
from holdfast.consistency.ready import Ready
from holdfast.consistency.schedule import window_room
from holdfast.consistency.turn import Turn
from holdfast.contract.envelope import Kind, LetterAnswer, MessageRow, Parcel
from holdfast.errors import CallError
from holdfast.ports import Broker

PARCELS_MAX = 4_096  # being handed over at once; a broker that takes none does not fill memory
PARCEL_BYTES_MAX = 512 << 10  # of what travels together; brokers refuse more than a MiB
UNHEARD_S = 0.1  # after which a full window is looked at: another replica may have the answers

Item = TypeVar("Item")


def _loads(items: list[Item], size: Callable[[Item], int]) -> list[list[Item]]:
    """Return the items in order, as many together as a parcel may hold; at least one."""
    if len(items) == 1:
        return [items]
    loads: list[list[Item]] = []
    held = PARCEL_BYTES_MAX
    for item in items:
        bytes_ = size(item)
        if held + bytes_ > PARCEL_BYTES_MAX:
            loads.append([])
            held = 0
        loads[-1].append(item)
        held += bytes_
    return loads


class Flying(NamedTuple):
    """A letter that was sent and not answered: what it is, and since when, by the loop's time."""

    kind: Kind
    since: float


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """Counts since the start; `in_flight` is now. `left_out`: parcels that found no room."""

    in_flight: int
    sent: int
    resent: int
    answers: int
    left_out: int = 0


class Outbox:
    """Sends what one service's transactions decided, after their commit.

    Args:
        wake: called when the table is to be looked at now.
    """

    def __init__(self, ledger: Ledger, broker: Broker, wake: Callable[[], None]) -> None:
        self._ledger = ledger
        self._broker = broker
        self._wake = wake
        self._in_flight: defaultdict[int, dict[UUID, Flying]] = defaultdict(dict)
        self._ready: dict[int, Ready] = {}  # of edges that have letters without room
        self._silent: dict[int, None] = {}  # edges that did not answer before a re-send
        self._back: dict[int, None] = {}  # those that have room for what waits in the table
        self._full: set[int] = set()  # edges whose window has no room, since they were looked at
        self._heard_at: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = self._resent = self._answers = self._left_out = 0

    def in_flight(self, edge: int) -> int:
        """Return how many letters of an edge were sent and not answered."""
        flying = self._in_flight.get(edge)
        return len(flying) if flying else 0

    def are_events(self, edge: int, letters: Iterable[UUID]) -> bool:
        """Whether all of these letters are events that this process sent and waits for."""
        flying = self._in_flight.get(edge, {})
        return all(
            (one := flying.get(letter)) is not None and one.kind is Kind.EVENT for letter in letters
        )

    def after_commit(self, turns: Sequence[Turn]) -> None:
        """Send what the turns of one transaction want sent, joined by edge.

        Letters to oneself and letters with a delay are left to the claim loop.
        """
        claimable, service = False, self._ledger.service
        letters: defaultdict[int, list[MessageRow]] = defaultdict(list)
        answers: defaultdict[int, list[LetterAnswer]] = defaultdict(list)
        for turn in turns:
            for row in turn.effects.rows:
                if row.tries and self._ledger.is_out(row.edge):
                    letters[row.edge].append(row)
                else:
                    claimable = True
            for edge, answer in turn.effects.answers:
                answers[edge].append(answer)
            for callback in turn.effects.done:
                try:
                    callback()
                except Exception:  # a bug there: letters and answers leave all the same
                    logging.getLogger("holdfast").exception("%s: after a commit", service)
        for edge, given in answers.items():
            self.give(edge, given)
        for edge, rows in letters.items():
            self.send(edge, rows)
        if claimable:
            self._wake()

    def send(self, edge: int, rows: Sequence[MessageRow], *, again: bool = False) -> None:
        """Send letters of one edge, as many as its window has room for; the others wait for it.

        Args:
            again: they were found due in the table. Those in flight are sent again in their places.
        """
        flying = self._in_flight[edge]
        room = window_room(len(flying), self._ledger.schedule)
        if again:
            self._listen_for(edge)
            now_rows = [row for row in rows if row.id in flying]
            rows = [row for row in rows if row.id not in flying]
        else:
            now_rows = []
            if room <= 0 and edge not in self._full:
                self._full.add(edge)
                self._wake()  # another replica may have got the answers
        now_rows += self._next(edge, rows, room, flying)
        if again and not now_rows:
            now_rows = list(rows[:1])  # after a long silence one probe
        if not now_rows:
            return
        bodies: defaultdict[bool, list[bytes]] = defaultdict(list)  # False: for the first time
        now = asyncio.get_running_loop().time()
        for row in now_rows:
            flying[row.id] = Flying(row.kind, now)
            bodies[row.tries > 1].append(row.body)
        self._sent += len(now_rows)
        self._resent += len(bodies.get(True, ()))
        where = self._ledger.edges[edge]
        for resent, those in sorted(bodies.items()):
            for some in _loads(those, len):
                raws = list(map(msgspec.Raw, some))
                self._publish(
                    Parcel(where.sender, where.receiver, where.lane, letters=raws, again=resent)
                )

    def _next(
        self, edge: int, rows: Sequence[MessageRow], room: int, flying: Container[UUID]
    ) -> list[MessageRow]:
        """Return the oldest of these letters and those that wait, as many as there is room for."""
        if edge not in self._ready and len(rows) <= room:
            return list(rows)
        ready, found = self._ready.setdefault(edge, Ready()), list[MessageRow]()
        ready.add(rows)
        while ready and len(found) < room:
            row = ready.pop()
            # One that flies fell due meanwhile, and was sent; a withdrawal has its command's id.
            if row.id not in flying or row.kind is Kind.WITHDRAW:
                found.append(row)
        if not ready:
            del self._ready[edge]
            if ready.more:
                self._back[edge] = None
                self._wake()
        return found

    def give(self, edge: int, answers: list[LetterAnswer]) -> None:
        """Give answers to letters of one edge."""
        where = self._ledger.edges[edge]
        self._answers += len(answers)
        for some in _loads(answers, lambda answer: len(bytes(answer.body))):
            self._publish(Parcel(where.sender, where.receiver, where.lane, answers=some))

    def _listen_for(self, edge: int) -> None:
        now, pause_s = asyncio.get_running_loop().time(), self._ledger.schedule.resend_ms / 1000
        if now - self._heard_at.get(edge, 0.0) > pause_s:
            self._silent[edge] = None

    def answered(self, edge: int, letters: Iterable[UUID]) -> None:
        """Note that letters were answered: the window has room for as many, which leave at once."""
        self._heard_at[edge] = asyncio.get_running_loop().time()
        if self._silent.pop(edge, 1) is None:
            self._back[edge] = None
            self._wake()
        self.settled(edge, letters)

    def take_back(self) -> list[int]:
        """Return the edges that answer again after a silence; what waits there need not."""
        edges, self._back = list(self._back), {}
        return edges

    def crowded(self) -> list[tuple[int, list[UUID]]]:
        """Return (edge, letters in flight for long) where the window is half full or more.

        Answers go to any replica of the sender: what another one has heard is not known here. They
        come at once, as a rule, so nobody is asked about a letter that has just left.
        """
        half = self._ledger.schedule.window // 2
        before = asyncio.get_running_loop().time() - UNHEARD_S
        found: list[tuple[int, list[UUID]]] = []
        self._full.clear()
        for edge, flying in self._in_flight.items():
            if len(flying) >= half:
                self._full.add(edge)
                found.append((edge, [id_ for id_, one in flying.items() if one.since <= before]))
        return found

    def settled(self, edge: int, letters: Iterable[UUID]) -> None:
        """Make room for what waits behind these letters."""
        flying = self._in_flight[edge]
        for letter in letters:
            flying.pop(letter, None)
        if edge in self._ready and len(flying) < self._ledger.schedule.window:
            self.send(edge, ())

    def announce(self, floors: Mapping[int, UUID]) -> None:
        """Tell receivers below which id everything is settled, once it is stored here."""
        for edge, floor in floors.items():
            where = self._ledger.edges[edge]
            self._publish(Parcel(where.sender, where.receiver, where.lane, floor=floor))

    def _publish(self, parcel: Parcel) -> None:
        if len(self._tasks) >= PARCELS_MAX:
            self._left_out += 1
            return  # its rows are due again, and its answers are made again
        task = asyncio.create_task(self._hand_over(parcel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, parcel: Parcel) -> None:
        try:
            await self._broker.publish(*parcel.address, encode(parcel), sender=self._ledger.service)
        except CallError:
            pass  # the rows stay, and are due again

    async def idle(self) -> None:
        """Wait until everything was handed over."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def stats(self) -> OutboxStats:
        """Return the counts."""
        flying = sum(map(len, self._in_flight.values()))
        return OutboxStats(flying, self._sent, self._resent, self._answers, self._left_out)
