"""The route of `benchmarks.ours.route` in its whole process, without its sockets.

For each line on the standard input a block of requests goes through it, and one through the HTTP
server alone, with a handler that answers at once. Answered is the CPU of one request in µs:
`whole`; `reading` and `writing`, of the server alone, its task with the latter; `routed`, the rest.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from benchmarks.floor.wire import Wires, serve_blocks
from benchmarks.ours.route import system
from benchmarks.route import requests
from holdfast.communication import HttpServer
from holdfast.consistency.schedule import Schedule
from holdfast.contract.http import Request, Response
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.observability import Logger
from holdfast.ports import Listener
from holdfast.runtime import engines
from holdfast.runtime.process import Options, Process

_QUIET = Schedule(poll_ms=3_600_000)
_BODY = b'{"order_id":"00000000-0000-7000-8000-000000000000","state":"placed","total_cents":650}'
_HEADERS = [(b"content-type", b"application/json")]
Factory = Callable[[], asyncio.Protocol]


class Nowhere:
    """A listener to which nobody comes."""

    address = ("127.0.0.1", 1)

    def close(self) -> None:
        """Nothing is open."""


class Unheard(SystemNetwork):
    """The network of the machine, on which nobody listens over TCP: whoever would is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.factories: list[Factory] = []

    async def listen(
        self, factory: Factory, host: str, port: int, *, tls: Any = None, path: str | None = None
    ) -> Listener:
        """Keep who listens; a Unix socket is opened, since commands come over one."""
        if path is not None:
            return await super().listen(factory, host, port, tls=tls, path=path)
        self.factories.append(factory)
        return Nowhere()


class Reading:
    """Measures how long a protocol reads, until its handler is called or it has read all."""

    def __init__(self) -> None:
        self._took_ns: list[int] = []
        self._entered_ns = 0

    async def answer(self, request: Request) -> Response:
        """Be the handler."""
        self._entered_ns = time.perf_counter_ns()
        return Response(200, list(_HEADERS), _BODY)

    def watched(self, factory: Factory) -> Factory:
        """Return a factory of protocols whose reading is measured."""

        def make() -> asyncio.Protocol:
            protocol = factory()
            read = protocol.data_received

            def data_received(data: bytes) -> None:
                self._entered_ns = 0
                begun_ns = time.perf_counter_ns()
                read(data)
                self._took_ns.append((self._entered_ns or time.perf_counter_ns()) - begun_ns)

            return Watched(protocol, data_received)

        return make

    def take_us(self) -> float:
        """Return how long one request was read since the last time, in µs.

        The median, since the clock goes on while somebody else has the core.
        """
        each_us = median(self._took_ns) / 1_000
        self._took_ns.clear()
        return each_us


class Watched(asyncio.Protocol):
    """A protocol with another way to be given data."""

    def __init__(self, protocol: asyncio.Protocol, data_received: Callable[[bytes], None]) -> None:
        self.connection_made = protocol.connection_made  # type: ignore[method-assign]
        self.data_received = data_received  # type: ignore[method-assign]


async def main() -> None:
    """Answer until the input ends; the log goes to /dev/null."""
    log = open(os.devnull, "wb", buffering=0)  # noqa: SIM115  # for the life of the process
    network, alone, reading = Unheard(), Unheard(), Reading()
    engines.SystemNetwork = lambda **options: network  # type: ignore  # a process makes its own
    with tempfile.TemporaryDirectory() as folder:
        logger = Logger(log, MachineClock(), system.name, form="json")
        options = Options(Path(folder), port=0, environ=os.environ, schedule=_QUIET)
        process = Process(system, options, logger)
        await process.start()
        server = HttpServer(reading.answer, network=alone, clock=MachineClock())
        await server.start("", 0)
        whole = Wires(network.factories[0], requests())
        bare = Wires(alone.factories[0], requests())
        watched = Wires(reading.watched(alone.factories[0]), requests())

        async def measured() -> dict[str, float]:
            whole_us, bare_us = await whole.block(), await bare.block()
            await watched.block()
            read_us = reading.take_us()
            parts = {"reading": read_us, "writing": bare_us - read_us}
            return {"whole": whole_us, "routed": whole_us - bare_us, **parts}

        await serve_blocks(measured)
        await process.stop()


if __name__ == "__main__":
    uvloop.run(main())
