"""What stands before a process and makes it sick, on real sockets: slow, cutting off, or silent."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum

from holdfast.communication import Origin

_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: a close is a reset
SLOW = 100
_HEAD_ENDS = b" HTTP/1.1\r\n"


class Health(Enum):
    """How a process does."""

    WELL = "well"
    SLOW = "slow"
    RESETS = "resets"
    SILENT = "silent"


class Ward:
    """A listener that passes bytes on to a process, as well as it is.

    Args:
        progress: what the world has done meanwhile; while it is slow, each answer waits until that
            is SLOW more, so that it is slow beside the others on every machine.

    Attributes:
        origin: where callers find it. health: how it does; it may change at any time.
        asked: requests that came. waiting: those without an answer. open: connections.
    """

    def __init__(self, behind: Origin, progress: Callable[[], float]) -> None:
        self._behind, self._progress = behind, progress
        self.health, self.origin = Health.WELL, behind
        self.asked = self.waiting = self.open = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        onward: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            while data := await reader.read(1 << 16):
                heads = data.count(_HEAD_ENDS)
                self.asked += heads
                self.waiting += heads
                if self.health is Health.RESETS:
                    cut(writer)
                elif self.health is not Health.SILENT:
                    if onward is None:
                        answers, onward = await asyncio.open_connection(
                            self._behind.host, self._behind.port
                        )
                        back = asyncio.create_task(self._pass_back(answers, writer))
                    onward.write(data)
        except ConnectionError:
            pass  # whoever called has gone
        finally:
            self.open -= 1
            if back is not None:
                back.cancel()
            for one in (onward, writer):
                if one is not None:
                    one.transport.abort()

    async def _pass_back(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await answers.read(1 << 16):
            until = self._progress() + SLOW
            while self.health is Health.SLOW and self._progress() < until:
                await asyncio.sleep(0.001)
            self.waiting -= 1
            writer.write(data)
        writer.close()


def cut(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a process that dies does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


@asynccontextmanager
async def ward(behind: Origin, progress: Callable[[], float]) -> AsyncIterator[Ward]:
    """Stand before a process."""
    made = Ward(behind, progress)
    server = await asyncio.start_server(made._serve, "127.0.0.1", 0)
    made.origin = Origin.of(*server.sockets[0].getsockname()[:2])
    try:
        yield made
    finally:
        server.close()
