"""The buffer between log lines and their stream: bounded, and never waits for a slow reader."""

import asyncio
import os
import select
from dataclasses import dataclass
from threading import RLock
from typing import Final, Protocol

FLUSH_S: Final = 0.2
BUFFER_BYTES_MAX: Final = 1 << 20

# A pipe that polls as writable takes this much at once (Linux, pipe(7)), so such a write returns.
_PIECE_BYTES = 4096
_STALL_MS, _STALLS_MAX = 100, 10


class Stream(Protocol):
    """Where lines go: `sys.stdout.buffer`, or anything that takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""
        ...

    def flush(self) -> object:
        """Hand on what was written."""
        ...


@dataclass(frozen=True, slots=True)
class LogStats:
    """lines: taken. dropped: lost, the buffer was full or the stream broken. waiting: bytes."""

    lines: int
    dropped: int
    waiting_bytes: int


class LogBuffer:
    """Lines on their way to a stream; may be filled from any thread.

    A stream with a file descriptor is written only as far as it takes data at once: a reader
    that stands still fills the buffer, then costs lines, which are counted, and never time.
    A killed process loses what waited, at most the last 0.2 s of lines below warning.
    """

    def __init__(self, stream: Stream, *, bytes_max: int = BUFFER_BYTES_MAX) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._waiting = bytearray()
        # Re-entrant: a destructor may log while this very thread is inside.
        self._lock = RLock()
        self._lines = 0
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptor = _descriptor(stream)
        if self._descriptor is not None:
            stream.flush()  # what others left in it comes first

    def add(self, line: bytes) -> bool:
        """Take a line, which is written within 0.2 s, or count it as dropped; tell whether."""
        with self._lock:
            self._lines += 1
            taken = len(self._waiting) + len(line) <= self._bytes_max
            if taken:
                self._waiting += line
            else:
                self._dropped += 1
            if self._timer is None or (self._loop is not None and self._loop.is_closed()):
                self._schedule()
            return taken

    def flush(self) -> None:
        """Write what the stream takes now; what it does not take is tried again later."""
        with self._lock:
            self._write(0)
            if self._waiting and self._timer is None:
                self._schedule()

    def close(self) -> None:
        """Write what waits, for at most a second of a stream that takes nothing."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            for _ in range(_STALLS_MAX):
                self._write(_STALL_MS)
                if not self._waiting:
                    return
            self._lose()

    def stats(self) -> LogStats:
        """Return what was taken and lost since the start, and what waits."""
        return LogStats(self._lines, self._dropped, len(self._waiting))

    def _schedule(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread without a loop: nobody would come back later
            self._timer = None
            self._write(0)
        else:
            self._timer = self._loop.call_later(FLUSH_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.flush()

    def _write(self, wait_ms: int) -> None:
        try:
            if self._descriptor is None:
                taken = bytes(self._waiting)
                del self._waiting[: len(taken)]
                self._stream.write(taken)
                self._stream.flush()
                return
            while self._waiting and _takes_data(self._descriptor, wait_ms):
                written = os.write(self._descriptor, bytes(self._waiting[:_PIECE_BYTES]))
                del self._waiting[:written]
        except BlockingIOError:
            return
        except (OSError, ValueError):  # the reader is gone, the disk is full, the file is closed
            self._lose()

    def _lose(self) -> None:
        self._dropped += self._waiting.count(b"\n")
        self._waiting.clear()


def _descriptor(stream: Stream) -> int | None:
    fileno = getattr(stream, "fileno", None)
    try:
        return None if fileno is None else int(fileno())
    except (OSError, ValueError):  # io.UnsupportedOperation: it lives in memory
        return None


def _takes_data(descriptor: int, wait_ms: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(wait_ms))
