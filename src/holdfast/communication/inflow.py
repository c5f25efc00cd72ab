"""The body of an answer as it comes in, with back-pressure on whoever sends it."""

import asyncio
from collections import deque
from collections.abc import Callable

PAUSE_BYTES = 128 * 1024
"""So much may wait to be taken; then the connection is not read. One read may come on top."""

_RESUME_BYTES = PAUSE_BYTES // 2


class Inflow:
    """An iterator of the pieces of a body. `aclose` ends it early, and its connection with it.

    Args:
        abandon: closes the connection, because somebody stopped reading.
    """

    __slots__ = ("_abandon", "_ended", "_error", "_held", "_paused", "_pieces", "_tap", "_waiter")

    def __init__(self, tap: asyncio.ReadTransport, abandon: Callable[[], None]) -> None:
        self._tap = tap
        self._abandon = abandon
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, piece: bytes) -> None:
        """Take a piece from the connection."""
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held >= PAUSE_BYTES and not self._paused:
            self._paused = True
            self._tap.pause_reading()
        self._wake()

    def end(self, error: Exception | None) -> None:
        """Say that no more comes; with an error if it broke off."""
        self._ended, self._error = True, error
        self._resume()  # the next answer is read on the same connection
        self._wake()

    def __aiter__(self) -> "Inflow":
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._held <= _RESUME_BYTES:
            self._resume()
        return piece

    async def aclose(self) -> None:
        """Stop reading."""
        self._pieces.clear()
        if not self._ended:
            self._abandon()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._tap.is_closing():
                self._tap.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
