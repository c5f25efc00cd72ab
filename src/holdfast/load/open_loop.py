"""The open loop: requests are due at their own rate, whatever became of those before.

A closed loop waits with its next request while the server is slow, and so leaves out just what
would have been slow (coordinated omission). Here each request has the moment at which it is due,
from the rate alone; its latency counts from then, also while it waits for a connection.
Source: G. Tene, "How NOT to Measure Latency", 2013.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from holdfast.load.offer import Mix, PreparedOffer
from holdfast.load.tally import LoadTally, TierTally
from holdfast.ports import Clock

TICK_S = 0.001
_SHOWN_MAX = 300


class Sender(Protocol):
    """A connection; `Wire` is one."""

    def send(self, request: bytes) -> None:
        """Send a request."""
        ...

    def close(self) -> None:
        """Close it, and report nothing any more."""
        ...


S = TypeVar("S", bound=Sender)
Connect = Callable[[Callable[[S, int, bytes], None], Callable[[S, Exception], None]], S]
"""Makes a connection, from what takes its answers and what takes its end."""


@dataclass(slots=True)
class _Asked(Generic[S]):
    """One request, from when it is due to what became of it."""

    number: int
    due: float
    offer: PreparedOffer
    tally: TierTally
    sender: S | None = None
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class ConstantRate:
    """How requests arrive: at a constant rate for some seconds."""

    per_s: float
    seconds: float

    @property
    def count(self) -> int:
        """How many there are; at least one."""
        return max(1, round(self.per_s * self.seconds))

    def due_s(self, turn: int) -> float:
        """Return when a request is due, from the beginning: turn 0 at once."""
        return turn / self.per_s


class OpenLoop(Generic[S]):
    """One stretch of requests that arrive at a constant rate.

    Args:
        first: the number of the first request; numbers make Idempotency-Keys fresh.
        patience_s: how long a client waits, from when its request was due, before it goes.
        connections_max: with all of them busy, requests wait for one.
    """

    def __init__(
        self,
        mix: Mix,
        arrivals: ConstantRate,
        connect: Connect[S],
        clock: Clock,
        *,
        first: int,
        patience_s: float,
        connections_max: int,
    ) -> None:
        self._mix, self._arrivals, self._connect, self._clock = mix, arrivals, connect, clock
        self._first, self._patience_s, self._max = first, patience_s, connections_max
        self._tally = LoadTally()
        self._turn = 0
        self._begun = 0.0
        self._idle: deque[S] = deque()
        self._busy: dict[S, _Asked[S]] = {}
        self._waiting: deque[_Asked[S]] = deque()
        self._open: deque[_Asked[S]] = deque()  # in the order in which they are due

    async def run(self) -> LoadTally:
        """Let all requests arrive, and each be answered or given up; return what became of them."""
        self._begun = self._clock.monotonic()
        try:
            while self._turn < self._arrivals.count or self._open:
                self._tick()
                await asyncio.sleep(TICK_S)
            return self._tally
        finally:
            for sender in (*self._idle, *self._busy):
                sender.close()

    def _tick(self) -> None:
        now = self._clock.monotonic()
        while self._turn < self._arrivals.count:
            due = self._begun + self._arrivals.due_s(self._turn)
            if due > now:
                break
            self._arrive(due)
        while self._open and (self._open[0].is_done or self._open[0].due + self._patience_s <= now):
            asked = self._open.popleft()
            if not asked.is_done:
                self._give_up(asked)

    def _arrive(self, due: float) -> None:
        number = self._first + self._turn
        self._turn += 1
        offer = self._mix.of(number)
        asked = _Asked[S](number, due, offer, self._tally.tiers[offer.tier])
        asked.tally.offered += 1
        self._tally.lags_s.append(self._clock.monotonic() - due)
        self._open.append(asked)
        if self._idle:
            self._send(asked, self._idle.popleft())
        elif len(self._busy) < self._max:
            self._send(asked, self._connect(self._answered, self._lost))
        else:
            self._waiting.append(asked)

    def _send(self, asked: _Asked[S], sender: S) -> None:
        asked.sender = sender
        self._busy[sender] = asked
        sender.send(asked.offer.numbered(asked.number))

    def _give_up(self, asked: _Asked[S]) -> None:
        """Let a client go that has waited long enough; its connection goes with it."""
        asked.is_done = True
        asked.tally.late += 1
        if asked.sender is None:
            asked.tally.unsent += 1
            return
        del self._busy[asked.sender]
        asked.sender.close()
        self._next(None)

    def _answered(self, sender: S, status: int, body: bytes) -> None:
        asked = self._busy.pop(sender)
        asked.is_done = True
        took_s = self._clock.monotonic() - asked.due
        good = asked.offer.is_good(status)
        if took_s > self._patience_s:
            asked.tally.late += 1
        else:
            asked.tally.answered(status, good=good, took_s=took_s)
        if not good and not self._tally.bad:
            self._tally.bad = f"{status} {body[:_SHOWN_MAX].decode(errors='replace')}"
        self._next(sender)

    def _lost(self, sender: S, error: Exception) -> None:
        asked = self._busy.pop(sender)
        asked.is_done = True
        asked.tally.lost(error)
        sender.close()
        self._next(None)

    def _next(self, sender: S | None) -> None:
        """Give a free connection, or the room for one, to who waits longest."""
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.is_done:
                self._send(asked, sender or self._connect(self._answered, self._lost))
                return
        if sender is not None:
            self._idle.append(sender)
