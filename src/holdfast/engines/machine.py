"""The machine's own clock, chance, entropy and signals."""

import asyncio
import os
import random
import signal
import struct
import time
from collections.abc import Callable
from uuid import UUID

_TAILS = struct.Struct(">8Q")


class MachineClock:
    """Implements `ports.Clock`; both are asked many times for each request, and so not wrapped.

    Attributes:
        now: the wall clock, in seconds since 1970.
        monotonic: seconds that only grow, on the scale of the loop's `time()`.
    """

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class MachineIds:
    """Implements `ports.Ids`.

    Ids of one millisecond grow by a counter (RFC 9562, method 1), so that rows come in order.

    Args:
        entropy: returns so many bytes that nobody can guess; the kernel's by default.
    """

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._last_ms = 0
        self._counter = 0
        self._tails: list[
            int
        ] = []  # of the ids of one millisecond: drawn one by one they cost more

    def uuid7(self, now_ms: int) -> UUID:
        """Return a time-ordered UUID."""
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            self._tails = self._draw()
            self._counter = self._tails.pop() & 0x3FF
        else:
            self._counter += 1
            if self._counter > 0xFFF:
                self._last_ms, self._counter = self._last_ms + 1, 0
        if not self._tails:
            self._tails = self._draw()
        tail = self._tails.pop() & ((1 << 62) - 1)
        value = (self._last_ms << 80) | (7 << 76) | (self._counter << 64) | (2 << 62) | tail
        return UUID(int=value)

    def _draw(self) -> list[int]:
        return list(_TAILS.unpack(self._entropy(_TAILS.size)))

    def token(self, size: int) -> bytes:
        """Return `size` bytes that nobody can guess."""
        return self._entropy(size)


def machine_random() -> random.Random:
    """Return chance for jitter and sampling."""
    return random.Random()  # noqa: S311  # never for secrets


class MachineSignals:
    """Implements `ports.Signals`: SIGTERM and SIGINT."""

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call `callback` at the first of the two signals; a second one ends the process."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            callback()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)

    def on_stops(self, first: Callable[[], None], again: Callable[[], None]) -> None:
        """Call `first` at the first of the two signals and `again` at the second; more do nothing.

        For a process that must not end before it has ended others, however often it is told.
        """
        loop, left = asyncio.get_running_loop(), [again, first]

        def stop() -> None:
            if left:
                left.pop()()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
