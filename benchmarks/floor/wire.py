"""A wire without sockets: bytes are handed to a protocol, and its answers are counted.

So what is measured is the CPU of the program alone, without the kernel's part, which is the same
for all and as large as what is looked for.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

CONNECTIONS = 32
TURNS = 16  # of all connections, a block: some ten milliseconds
_WAITS_MAX = 100_000  # turns of the loop until an answer
Factory = Callable[[], asyncio.Protocol]


class Unplugged(asyncio.Transport):
    """A transport that leads nowhere; what was written is counted, and the last of it kept."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0
        self.last = b""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return where it seems to come from, and nothing else."""
        return ("127.0.0.1", 4711) if name == "peername" else default

    def write(self, data: Any) -> None:
        """Count an answer: a program writes each in one piece."""
        self.answers += 1
        self.last = data

    def writelines(self, list_of_data: Any) -> None:
        """Count an answer that comes in pieces."""
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        """It never is."""
        return False

    def close(self) -> None:
        """Nothing is to be closed."""

    abort = pause_reading = resume_reading = write_eof = close

    def can_write_eof(self) -> bool:
        """Half of it could be closed."""
        return True

    def get_write_buffer_size(self) -> int:
        """Nothing waits to be sent."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is nothing to limit."""


class Wires:
    """32 connections to one program.

    Args:
        requests: sent in turn.
    """

    def __init__(self, factory: Factory, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self._sent = 0
        self._ends = [(factory(), Unplugged()) for _ in range(CONNECTIONS)]
        for protocol, transport in self._ends:
            protocol.connection_made(transport)

    async def block(self) -> float:
        """Send a block of requests; return the CPU of each, in µs. Raises RuntimeError."""
        loop = asyncio.get_running_loop()
        begun = time.process_time_ns()
        for _ in range(TURNS):
            loop.call_soon(self._feed)  # from the loop, as a transport does: no task is current
            for _ in range(_WAITS_MAX):
                await asyncio.sleep(0)
                if all(end.answers * CONNECTIONS >= self._sent for _, end in self._ends):
                    break
            else:
                raise RuntimeError(f"no answer after {_WAITS_MAX:,} turns of the loop")
        took_us = (time.process_time_ns() - begun) / 1_000
        last = self._ends[-1][1].last
        if not last.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the program answered {last[:200]!r}")
        return took_us / (TURNS * CONNECTIONS)

    def _feed(self) -> None:
        for protocol, _ in self._ends:
            protocol.data_received(self._requests[self._sent % len(self._requests)])
            self._sent += 1


async def serve_blocks(measured: Callable[[], Any]) -> None:
    """For each line on the standard input, answer with what is measured, as JSON."""
    gc.collect()
    gc.freeze()  # as `holdfast run` does
    gc.set_threshold(50_000, 20, 20)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await measured()), flush=True)
