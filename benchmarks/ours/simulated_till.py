"""A simulated till: a process whose handlers hold it for four milliseconds each, in virtual time.

It has the entrance of a real one, and clients who do not wait for the one before. `python -m
benchmarks.ours.simulated_till` prints how it does at 2, 5 and 10 times what it can do, from a cold
start and after two seconds.
"""

import asyncio
import io
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.communication import HttpServer
from holdfast.contract.http import Request, Response
from holdfast.contract.tier import Tier
from holdfast.dispatch.entrance import Entrance
from holdfast.dispatch.router import Router, Target
from holdfast.observability import Logger
from holdfast.resilience import ConcurrencyLimits, RoutePlaces
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.network import SimNetwork
from holdfast.simulation.node import Node
from holdfast.testing.virtual import VirtualClock

WORK_S, DEADLINE_S, PATIENCE_S = 0.004, 0.5, 5.0
WARM_S = 2.0
NORMAL = {Tier.NORMAL: 1.0}
MIXED = {Tier.CRITICAL: 0.1, Tier.NORMAL: 0.7, Tier.BULK: 0.2}


@dataclass
class Crowd:
    """What became of those who came after the first seconds, by tier.

    Attributes:
        seconds: how long they came.
    """

    seconds: float = 0.0
    came: Counter[Tier] = field(default_factory=Counter[Tier])
    good: Counter[Tier] = field(default_factory=Counter[Tier])
    refused: Counter[Tier] = field(default_factory=Counter[Tier])
    took_s: list[float] = field(default_factory=list[float])


class Customer(asyncio.Protocol):
    """One kept connection; `free` gets it back with each answer."""

    def __init__(self, crowd: Crowd, free: "list[Customer]") -> None:
        self._crowd, self._free = crowd, free
        self._tier, self._at, self._counts = Tier.NORMAL, 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, tier: Tier, *, counts: bool) -> None:
        self._tier, self._counts = tier, counts
        self._at = asyncio.get_running_loop().time()
        self._crowd.came[tier] += counts
        self._transport.write(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % tier)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        took_s = asyncio.get_running_loop().time() - self._at
        if data.startswith(b"HTTP/1.1 503 "):
            self._crowd.refused[self._tier] += self._counts
        elif took_s <= DEADLINE_S and self._counts:
            self._crowd.good[self._tier] += 1
            self._crowd.took_s.append(took_s)
        self._free.append(self)


async def crowd(
    load: float,
    mix: Mapping[Tier, float],
    seconds: float,
    wait_s: float = DEADLINE_S / 5,
    warm_s: float = WARM_S,
) -> Crowd:
    """Let them come at a rate for so long; those of the first seconds are not counted."""
    chance, clock = random.Random(3), VirtualClock(0.0)
    seen = Crowd(seconds - warm_s)
    network = SimNetwork.seeded("crowd")
    here, there = Node("till", "till"), Node("crowd", "crowd")
    router = Router()

    async def serve(request: Request, path: dict[str, str]) -> Response:
        here.spend(WORK_S)
        return Response(200)

    for tier in Tier:
        target = Target("till", f"/{tier:d}", serve, True, None, places=RoutePlaces(tier))
        router.add("GET", target)

    async def handle(request: Request) -> Response:
        return await request.found[0].serve(request, {})

    logger = Logger(io.BytesIO(), clock, "till", form="json")
    gate = Entrance(router, ConcurrencyLimits(1_000, wait_s), clock, logger)
    server = HttpServer(handle, gate=gate, network=network.of(here), clock=clock)
    await asyncio.create_task(server.start("till", 80), context=here.context)
    loop = asyncio.get_running_loop()
    free: list[Customer] = []
    for _ in range(200):
        await network.of(there).connect(lambda: _kept(Customer(seen, free)), "till", 80)
    began = next_at = loop.time()
    while next_at < began + seconds:
        next_at += chance.expovariate(load / WORK_S)
        await asyncio.sleep(next_at - loop.time())
        (tier,) = chance.choices(list(mix), list(mix.values()))
        if not free:
            await network.of(there).connect(lambda: _kept(Customer(seen, free)), "till", 80)
        free.pop().ask(tier, counts=next_at > began + warm_s)
    await asyncio.sleep(PATIENCE_S)
    seen.took_s.sort()
    return seen


def _kept(customer: Customer) -> Customer:
    customer._free.append(customer)
    return customer


def run(load: float, mix: Mapping[Tier, float], seconds: float = 8.0, **more: float) -> Crowd:
    """Run it in virtual time; nobody is left inside."""
    loop = SimLoop()
    try:
        seen = loop.run_until_complete(crowd(load, mix, seconds, **more))
    finally:
        loop.close()
    assert seen.came.total() > 0
    return seen


def main() -> None:
    """Print how it does."""
    print("counted from\tload\tgoodput\tp99")
    for warm_s in (0.0, WARM_S):
        for load in (2.0, 5.0, 10.0):
            seen = run(load, MIXED, 6.0, warm_s=warm_s)
            goodput = seen.good.total() * WORK_S / seen.seconds
            p99_ms = seen.took_s[int(len(seen.took_s) * 0.99)] * 1e3
            print(f"{warm_s:g} s\t{load:g}x\t{goodput:.2f}\t{p99_ms:.0f} ms")


if __name__ == "__main__":
    main()
