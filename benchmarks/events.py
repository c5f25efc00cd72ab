"""Events a second from the outbox to a handler that has committed, against FastStream.

Both publish and hear in one process, over one nats-server's JetStream. Ours commits twice on
Postgres for each event: when it is published, with its outbox row, and when it was handled, with
its inbox row; FastStream has no database, and a crash between its two sides loses or doubles.

Target: 3 times the events a second.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.harness import Contender, Plan, Row, Sample, compare, versus
from benchmarks.ours.events import system
from benchmarks.process import ROOT, Server, disk_folder, running
from benchmarks.servers import WAKES_S, Costs
from benchmarks.tree import HERE, Tree
from holdfast.runtime.servers import Servers

TARGET = 3.0
SETTLE_S = 300.0


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    async with ours("holdfast on Postgres and NATS") as (server, servers):
        nats = servers.addresses["nats"]
        peer = Server("FastStream on NATS", "benchmarks.peers.faststream_app", "--nats", nats)
        async with running(peer):
            samples = await compare([_side(server, servers), _side(peer, servers)], plan)
    return [versus("events", "events/s", samples, target=TARGET)]


async def against(plan: Plan, tree: Tree) -> list[Row]:
    """Measure it beside the same of another commit, each on servers of its own."""
    async with ours(HERE) as now, ours(tree.name, tree=tree.path) as then:
        samples = await compare([_side(*now), _side(*then)], plan)
    return [versus("events", "events/s", samples)]


@asynccontextmanager
async def ours(
    name: str, *, tree: Path = ROOT, samples: Path | None = None
) -> AsyncIterator[tuple[Server, Servers]]:
    """Run both services on servers of their own; see `Server` for the rest."""
    with disk_folder() as folder:
        servers = Servers(folder / "servers", ["postgres", "nats"], system)
        await servers.start()
        try:
            server = Server(
                name,
                "benchmarks.ours.events",
                str(folder),
                environ=servers.environ,
                tree=tree,
                samples=samples,
            )
            async with running(server):
                yield server, servers
        finally:
            await servers.stop()


def _side(server: Server, servers: Servers) -> Contender:
    return Contender(
        server,
        lambda seconds: round_of(server, seconds),
        wakes_s=WAKES_S,
        servers_s=Costs(servers).cpu_s,
    )


async def round_of(server: Server, seconds: float) -> tuple[int, Sample]:
    """Have a server run one round."""
    found = json.loads(await server.ask(str(seconds), seconds + SETTLE_S))
    rate = found["count"] / found["seconds"]
    return found["count"], Sample(rate, 0.0, 0.0)
