"""A surge that ends, through three processes, with clients who try again: does it come back?

Metastable failures outlast what began them: the surge is over, and what was begun for clients who
have gone keeps everything too late for those who come.

Source: N. Bronson et al., "Metastable Failures in Distributed Systems", HotOS 2021.
"""

import asyncio
import io
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from holdfast.communication import ClientPool, HttpServer, Origin, PoolLimits
from holdfast.contract.http import Request, Response
from holdfast.dispatch.entrance import Entrance
from holdfast.dispatch.inner_headers import DEADLINE
from holdfast.dispatch.router import Router, Target
from holdfast.errors import CallError, Overloaded
from holdfast.observability import Logger
from holdfast.resilience import (
    DEFAULT,
    ConcurrencyLimits,
    Edge,
    EdgePolicy,
    RetryPolicy,
    RoutePlaces,
)
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.network import SimNetwork
from holdfast.simulation.node import Node
from tests.virtual_loop import LoopClock

WORK_S = {"front": 0.002, "middle": 0.005, "back": 0.02}
NEXT = {"front": "middle", "middle": "back", "back": None}
DEADLINE_S, TRIES, RATE = 1.0, 4, 1 / WORK_S["back"]
SURGE, UNTIL = (3.0, 9.0), 17.0
LIMITS = PoolLimits(connections_max=4_000, idle_max=4_000)
NO_DEFENCES = EdgePolicy(
    timeout_s=DEADLINE_S, retry=RetryPolicy(tries_max=2), budget=None, breaker=None, bulkhead=None
)


@dataclass
class Seen:
    """By second: how many came, and how many of them were answered well in time, tries included."""

    came: Counter[int] = field(default_factory=Counter[int])
    good: Counter[int] = field(default_factory=Counter[int])

    def share(self, begin: float, end: float) -> float:
        """Return how many of those who came from then to then got what they wanted."""
        seconds = range(int(begin), int(end))
        return sum(self.good[s] for s in seconds) / sum(self.came[s] for s in seconds)


class Stage:
    """One process of the three: it works, and asks the next one."""

    def __init__(self, name: str, network: SimNetwork, *, defended: bool) -> None:
        self.node, self.name, self.defended = Node(name, name), name, defended
        clock, own = LoopClock(), network.of(self.node)
        self.pool = ClientPool(network=own, clock=clock, limits=LIMITS)
        self.next = NEXT[name]
        policy = replace(DEFAULT, timeout_s=DEADLINE_S) if defended else NO_DEFENCES
        self.edge = Edge(f"{name}→{self.next}", policy, clock, random.Random(name))
        router = Router()
        router.add("GET", Target(name, "/", self.serve, True, None, places=RoutePlaces()))
        wait_s = DEADLINE_S / 10 if defended else 1e6
        logger = Logger(io.BytesIO(), clock, name, form="json")
        gate = Entrance(
            router, ConcurrencyLimits(1_000 if defended else 10**6, wait_s), clock, logger
        )
        self.server = HttpServer(self.handle, gate=gate, network=own, clock=clock)

    async def start(self) -> None:
        """Listen."""
        await asyncio.create_task(self.server.start(self.name, 80), context=self.node.context)

    async def handle(self, request: Request) -> Response:
        """Serve one request, as a door does: nothing is done for who has gone."""
        loop = asyncio.get_running_loop()
        left_ms = request.sent.get(DEADLINE)
        if self.defended and left_ms is not None:
            request.deadline = request.received_at + int(left_ms) / 1000
            if request.gone or loop.time() >= request.deadline:
                return Response(504)
        try:
            return await self.serve(request, {})
        except (CallError, Overloaded):
            return Response(503)

    async def serve(self, request: Request, path: dict[str, str]) -> Response:
        """Work, and ask the next one."""
        self.node.spend(WORK_S[self.name])
        if self.next is None:
            return Response(200)

        async def ask(timeout_s: float) -> Response:
            headers = [(DEADLINE, b"%d" % int(timeout_s * 1000))] if self.defended else []
            onward = Request("GET", "/", headers=headers)
            answer = await self.pool.request(
                Origin.of(str(self.next), 80), onward, deadline_s=timeout_s
            )
            if answer.status != 200:
                raise Overloaded(f"{answer.status}")
            return answer

        return await self.edge.call(ask, deadline=request.deadline, idempotent=True)


async def surge(*, defended: bool) -> Seen:
    """Let clients come at 0.8 of what can be done, at 3 times of it for a while, and 0.8 again."""
    seen, chance, loop = Seen(), random.Random(11), asyncio.get_running_loop()
    network = SimNetwork.seeded("surge")
    for name in NEXT:
        await Stage(name, network, defended=defended).start()
    clients = ClientPool(
        network=network.of(Node("clients", "clients")), clock=LoopClock(), limits=LIMITS
    )
    front, began = Origin.of("front", 80), loop.time()

    async def client() -> None:
        second = int(loop.time() - began)
        seen.came[second] += 1
        headers = [(DEADLINE, b"%d" % int(DEADLINE_S * 1000))]
        for number in range(TRIES):
            try:
                request = Request("GET", "/", headers=headers)
                answer = await clients.request(front, request, deadline_s=DEADLINE_S)
            except CallError:
                pass
            else:
                if answer.status == 200:
                    seen.good[second] += 1
                    return
            await asyncio.sleep(chance.uniform(0, 0.1 * 2**number))

    tasks: set[asyncio.Task[None]] = set()
    at = 0.0
    while at < UNTIL:
        load = 3.0 if SURGE[0] <= at < SURGE[1] else 0.8
        at += chance.expovariate(load * RATE)
        await asyncio.sleep(began + at - loop.time())
        task = asyncio.create_task(client())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.sleep(TRIES * (DEADLINE_S + 1.0))
    return seen


def run(*, defended: bool) -> Seen:
    """Run it in virtual time."""
    loop = SimLoop()
    try:
        return loop.run_until_complete(surge(defended=defended))
    finally:
        loop.close()


def test_after_a_surge_it_comes_back_by_itself() -> None:
    """Within five seconds; and meanwhile it does what it can."""
    seen = run(defended=True)

    assert seen.share(1, SURGE[0]) >= 0.99
    assert seen.share(SURGE[0] + 2, SURGE[1]) >= 0.25  # of three times what it can do
    assert seen.share(SURGE[1] + 5, UNTIL) >= 0.95


@pytest.mark.sim
def test_without_its_defences_it_stays_broken() -> None:
    """With the same load: no limits, no deadline that travels, no budget and no breaker."""
    seen = run(defended=False)

    assert seen.share(1, SURGE[0]) >= 0.99
    assert seen.share(SURGE[1] + 5, UNTIL) <= 0.5
