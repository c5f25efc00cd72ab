"""A process that had to refuse everybody for a while, and those who go on coming: it lets them in.

What it refuses by must not be something that only those whom it lets in can change.
"""

import asyncio
import io
import random
from collections.abc import Callable

from holdfast.communication import ClientPool, HttpServer, Origin, PoolLimits
from holdfast.contract.http import Request, Response
from holdfast.contract.tier import Tier
from holdfast.dispatch.entrance import Entrance
from holdfast.dispatch.inner_headers import DEADLINE
from holdfast.dispatch.router import Router, Target
from holdfast.errors import CallError
from holdfast.observability import Logger
from holdfast.resilience import ConcurrencyLimits, RoutePlaces
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.network import SimNetwork
from holdfast.simulation.node import Node
from tests.virtual_loop import LoopClock

PLACES, WAIT_S, PATIENCE_S = 20, 0.1, 1.0
EVERY_S, UNTIL = 0.01, 15.0
BAD = 5.0  # from the beginning, so long it goes badly
Bad = Callable[[Node], float]
"""What a handler does to its process while it goes badly, and for how long it waits for others."""


def stands_still(node: Node) -> float:
    """Hold the process, so that all wait for it who come meanwhile."""
    node.spend(1.5)
    return 0.0


def hangs(node: Node) -> float:
    """Wait for somebody who does not answer, as all who have a place do."""
    return 60.0


async def crowd(goes: Bad, *, inside: bool) -> list[int]:
    """Return what was answered to those who came in the last seconds, each on its own account."""
    network, loop, clock = SimNetwork.seeded("again"), asyncio.get_running_loop(), LoopClock()
    node, outside = Node("till", "till"), Node("crowd", "crowd")
    router = Router()
    began = loop.time()

    async def serve(request: Request, path: dict[str, str]) -> Response:
        if loop.time() - began < BAD:
            await asyncio.sleep(min(goes(node), began + BAD - loop.time()))
        node.spend(0.001)
        return Response(200)

    router.add("GET", Target("till", "/", serve, True, None, places=RoutePlaces(Tier.NORMAL)))

    async def handle(request: Request) -> Response:
        return await serve(request, {})

    logger = Logger(io.BytesIO(), clock, "till", form="json")
    gate = Entrance(router, ConcurrencyLimits(PLACES, WAIT_S), clock, logger, inside=inside)
    server = HttpServer(handle, gate=gate, network=network.of(node), clock=clock)
    await asyncio.create_task(server.start("till", 80), context=node.context)
    limits = PoolLimits(connections_max=4_000, idle_max=4_000)
    pool = ClientPool(network=network.of(outside), clock=clock, limits=limits)
    found: list[int] = []

    async def come(counts: bool) -> None:
        told = [(DEADLINE, b"%d" % int(PATIENCE_S * 1000))] if inside else []
        path = "/-/ask/front/Ask.v1" if inside else "/"
        try:
            request = Request("GET", path, headers=told)
            answer = await pool.request(Origin.of("till", 80), request, deadline_s=PATIENCE_S)
            status = answer.status
        except CallError:
            status = 0
        if counts:
            found.append(status)

    tasks: set[asyncio.Task[None]] = set()
    chance, at = random.Random(7), 0.0
    while at < UNTIL:
        at += chance.expovariate(1 / EVERY_S)
        await asyncio.sleep(began + at - loop.time())
        tasks.add(asyncio.create_task(come(at > BAD + 5.0)))
    await asyncio.wait(tasks)
    await pool.close()
    return found


def run(goes: Bad, *, inside: bool) -> list[int]:
    """Run it in virtual time."""
    loop = SimLoop()
    try:
        return loop.run_until_complete(crowd(goes, inside=inside))
    finally:
        loop.close()


def test_who_comes_when_places_are_free_again_is_let_in() -> None:
    """For seconds nobody was, since all who had a place waited for somebody."""
    found = run(hangs, inside=False)

    assert set(found) == {200}
    assert len(found) > 300


def test_who_asks_when_nobody_waits_any_more_is_let_in() -> None:
    """For seconds all waited longer than who asks will be there."""
    found = run(stands_still, inside=True)

    assert set(found) == {200}
    assert len(found) > 300
