"""The closed loop: connections that send the next request when the last one is answered.

It asks as fast as it is answered, and so finds what a server can do; it does not find how long
clients wait who come at their own rate. The open loop is for that.
"""

import asyncio
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from holdfast.load.wire import Dial, Wire
from holdfast.ports import Clock

_SHOWN_MAX = 500


@dataclass(slots=True)
class Asking:
    """What a closed loop found.

    Attributes:
        good_s: how long each request took that was answered well.
        halves: how many were, in each half of the time.
        bad: how many were answered otherwise, or not.
        first_bad: the first of them, for people.
        took_s: from the first request to the last answer.
    """

    good_s: "array[float]" = field(default_factory=lambda: array("d"))
    halves: list[int] = field(default_factory=lambda: [0, 0])
    bad: int = 0
    first_bad: str = ""
    took_s: float = 0.0


class ClosedLoop:
    """One stretch of a server that is always asked.

    Args:
        request: returns the bytes of a request by its number.
        is_good: whether a request, by its number, was answered well by a status.
        first: the number of the first request.
        patience_s: how long an answer may take; what is under way then ends it.
    """

    def __init__(
        self,
        request: Callable[[int], bytes],
        is_good: Callable[[int, int], bool],
        clock: Clock,
        *,
        seconds: float,
        patience_s: float,
        first: int = 0,
    ) -> None:
        self._request, self._is_good, self._clock = request, is_good, clock
        self._seconds, self._patience_s = seconds, patience_s
        self.next = first
        self._found = Asking()
        self._sent: dict[Wire, tuple[int, float]] = {}
        self._begun = 0.0
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, dials: Sequence[Dial]) -> Asking:
        """Ask over a connection for each of `dials`; return what was found. Raises OSError."""
        wires = [Wire(dial, self._answered, self._lost) for dial in dials]
        try:
            for wire in wires:
                await wire.open()
            self._begun = self._clock.monotonic()
            for wire in wires:
                self._send(wire)
            try:
                async with asyncio.timeout(self._seconds + self._patience_s):
                    await self._ended
            except TimeoutError:
                self._count_bad(len(self._sent), f"no answer in {self._patience_s:g} s")
            self._found.took_s = self._clock.monotonic() - self._begun
            return self._found
        finally:
            for wire in wires:
                wire.close()

    def _send(self, wire: Wire) -> None:
        number, self.next = self.next, self.next + 1
        self._sent[wire] = (number, self._clock.monotonic())
        wire.send(self._request(number))

    def _answered(self, wire: Wire, status: int, body: bytes) -> None:
        now = self._clock.monotonic()
        number, sent_at = self._sent.pop(wire)
        if self._is_good(number, status):
            self._found.good_s.append(now - sent_at)
            self._found.halves[now - self._begun > self._seconds / 2] += 1
        else:
            self._count_bad(1, f"{status} {body[:_SHOWN_MAX].decode(errors='replace')}")
        self._go_on(wire, now)

    def _lost(self, wire: Wire, error: Exception) -> None:
        del self._sent[wire]
        self._count_bad(1, f"{type(error).__name__}: {error}")
        self._go_on(wire, self._clock.monotonic())

    def _go_on(self, wire: Wire, now: float) -> None:
        if now < self._begun + self._seconds:
            self._send(wire)
        elif not self._sent and not self._ended.done():
            self._ended.set_result(None)

    def _count_bad(self, number: int, said: str) -> None:
        self._found.bad += number
        self._found.first_bad = self._found.first_bad or said
