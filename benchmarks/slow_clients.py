"""Customers beside 2,000 clients that send heads and bodies, or take answers, a few bytes a second.

They come from 20 addresses, are opened anew when they are closed, and never give up. Measured are
what the 99th percentile of the customers' requests is beside them and without them, in turns; how
much memory they take; and after how long they are closed, which is watched for at most 25 s.

Targets: a p99 of at most 1.2 times, at most 100 MB, and none that is open for more than 10 s.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from typing import cast

from benchmarks.harness import Plan, Row, Sample
from benchmarks.process import Server, resident_bytes, running
from benchmarks.route import load, requests

CLIENTS = 2_000
P99_TARGET, MEMORY_TARGET_MB, CLOSED_TARGET_S = 1.2, 100.0, 10.0
WATCHED_S = 25.0
_ADDRESSES = 20
_AT_ONCE, _BREATH_S = 50, 0.05  # so that none waits for long to be accepted
_SLOW_S = {"head": 1.0, "body": 1.0, "reader": 0.5}
_AGAIN_S, _SETTLED_S = 0.5, 2.0
_RECEIVE_BYTES = 4_096
_TCP_CLOSE = 7  # of tcpi_state, linux/tcp_states.h
_HEAD = b"GET /feed/ HTTP/1.1\r\nhost: bench.local\r\n"
_BODY = (
    b"POST /v1/orders HTTP/1.1\r\nhost: bench.local\r\ncontent-type: application/json\r\n"
    b"content-length: 500000\r\n\r\n"
)
KINDS = {"head": _HEAD + b"x: ", "body": _BODY, "reader": _HEAD + b"\r\n"}


class Slow(asyncio.BufferedProtocol):
    """One slow client: a byte a second out, or thirty-two in."""

    def __init__(self, kind: str, ended: Callable[["Slow"], None]) -> None:
        self.kind = kind
        self.opened_at = time.perf_counter()
        self._ended = ended
        self._piece = bytearray(16)
        self._transport = cast(asyncio.Transport, None)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what begins it."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(KINDS[self.kind])
        self._again()

    def get_buffer(self, sizehint: int) -> bytearray:
        """Take no more than sixteen bytes at a time."""
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        """Read no more for a while; who is refused has nothing else to come."""
        if self.kind == "reader":
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Be closed."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the server had enough."""
        if self._timer is not None:
            self._timer.cancel()
        self._ended(self)

    def close(self) -> None:
        """End it."""
        self._transport.abort()

    def _again(self) -> None:
        if self.kind != "reader":
            self._transport.write(b"x")
        elif self._is_reset():
            self._transport.abort()  # it would go on to read what had come before
            return
        else:
            self._transport.resume_reading()
        self._timer = asyncio.get_running_loop().call_later(_SLOW_S[self.kind], self._again)

    def _is_reset(self) -> bool:
        wire = self._transport.get_extra_info("socket")
        return bool(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE)


@dataclass
class Crowd:
    """All slow clients of one server.

    Attributes:
        closed_s: {kind: after how long each was closed}.
    """

    url: str
    open: set[Slow] = field(default_factory=set[Slow])
    closed_s: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _leaving: bool = False

    async def come(self) -> None:
        """Open all of them."""
        kinds = list(KINDS)
        for number in range(CLIENTS):
            await self._open(kinds[number % len(kinds)], number)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(_BREATH_S)

    def leave(self) -> None:
        """End all of them."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        for client in list(self.open):
            client.close()

    def oldest_s(self, kind: str) -> float:
        """Return how long the oldest one was open, or has been."""
        now = time.perf_counter()
        still = [now - one.opened_at for one in self.open if one.kind == kind]
        return max([*self.closed_s[kind], *still])

    async def _open(self, kind: str, number: int) -> None:
        host, port = self.url.removeprefix("http://").split(":")
        wire = socket.socket()
        wire.setblocking(False)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        wire.bind((f"127.0.1.{1 + number % _ADDRESSES}", 0))
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(wire, (host, int(port)))
        except OSError:
            wire.close()
            return
        _, client = await loop.create_connection(
            lambda: Slow(kind, lambda one: self._ended(one, number)), sock=wire
        )
        self.open.add(client)

    def _ended(self, client: Slow, number: int) -> None:
        if not self._leaving:
            self.open.discard(client)
            self.closed_s[client.kind].append(time.perf_counter() - client.opened_at)
            task = asyncio.get_running_loop().create_task(self._come_back(client.kind, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _come_back(self, kind: str, number: int) -> None:
        await asyncio.sleep(_AGAIN_S * (1 + number % 8))  # not all in one moment
        await self._open(kind, number)


@dataclass(frozen=True, slots=True)
class Beside:
    """What one server does beside the slow clients, and what it does without them.

    Attributes:
        p99_ratio: the median over the rounds. memory_mb: the most that it grew.
        oldest_s: {kind: how long the one that was open for longest was}.
    """

    p99_ratio: float
    memory_mb: float
    oldest_s: dict[str, float]
    alone: list[Sample]
    beside: list[Sample]


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    servers = {
        "holdfast, everything on": "benchmarks.ours.slow",
        "FastAPI + uvicorn, bare": "benchmarks.peers.fastapi_slow",
    }
    found: dict[str, Beside] = {}
    for name, module in servers.items():
        server = Server(name, module)
        async with running(server):
            found[name] = await _beside(server, plan)
    (_, ours), (peer_name, peer) = found.items()
    samples = {
        f"{name}, {how}": part
        for name, one in found.items()
        for how, part in (("alone", one.alone), ("beside them", one.beside))
    }
    about = f"{CLIENTS:,} slow clients"
    rows = [
        Row(
            f"{about}: p99 of others",
            "×",
            ours.p99_ratio,
            peer_name,
            peer.p99_ratio,
            target=P99_TARGET,
            at_most=True,
            samples=samples,
        ),
        Row(
            f"{about}: memory",
            "MB",
            ours.memory_mb,
            peer_name,
            peer.memory_mb,
            target=MEMORY_TARGET_MB,
            at_most=True,
        ),
    ]
    return rows + [
        Row(
            f"{about}: a slow {kind} is open for",
            "s",
            ours.oldest_s[kind],
            peer_name,
            peer.oldest_s[kind],
            target=CLOSED_TARGET_S,
            at_most=True,
        )
        for kind in KINDS
    ]


async def _beside(server: Server, plan: Plan) -> Beside:
    ask = load(server, requests())
    await ask(plan.warm_up_s + plan.round_s)
    before = resident_bytes(server.pid)
    alone, beside, memory = list[Sample](), list[Sample](), list[int]()
    oldest_s = dict.fromkeys(KINDS, 0.0)
    for number in range(plan.rounds):
        alone.append(await _asked(ask, plan))
        crowd = Crowd(server.url)
        begun = time.perf_counter()
        await crowd.come()
        await asyncio.sleep(_SETTLED_S)
        beside.append(await _asked(ask, plan))
        if not number:
            while (passed := time.perf_counter() - begun) < WATCHED_S:
                memory.append(resident_bytes(server.pid))
                await asyncio.sleep(min(1.0, WATCHED_S - passed))
            oldest_s = {kind: crowd.oldest_s(kind) for kind in KINDS}
        crowd.leave()
        await asyncio.sleep(_AGAIN_S)
    return Beside(
        median(b.p99_ms / a.p99_ms for a, b in zip(alone, beside, strict=True)),
        (max(memory) - before) / 1e6,
        oldest_s,
        alone,
        beside,
    )


async def _asked(ask: Callable[[float], Awaitable[tuple[int, Sample]]], plan: Plan) -> Sample:
    _, sample = await ask(plan.round_s)
    return sample
