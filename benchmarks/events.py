"""Events a second from the outbox to a handler that has committed, against FastStream.

Both publish and hear in one process, over one nats-server's JetStream. Ours commits twice on
Postgres for each event: when it is published, with its outbox row, and when it was handled, with
its inbox row; FastStream has no database, and a crash between its two sides loses or doubles.

Target: 5 times the events a second.
"""

import json

from benchmarks.harness import Contender, Plan, Row, Sample, compare, versus
from benchmarks.ours.events import system
from benchmarks.process import Server, disk_folder, running
from benchmarks.servers import WAKES_S, Costs
from holdfast.runtime.servers import Servers

TARGET = 5.0
SETTLE_S = 300.0


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    with disk_folder() as folder:
        servers = Servers(folder / "servers", ["postgres", "nats"], system)
        await servers.start()
        try:
            ours = Server(
                "holdfast on Postgres and NATS",
                "benchmarks.ours.events",
                str(folder),
                environ=servers.environ,
            )
            nats = servers.addresses["nats"]
            peer = Server("FastStream on NATS", "benchmarks.peers.faststream_app", "--nats", nats)
            costs = Costs(servers)
            async with running(ours, peer):
                sides = [
                    Contender(
                        server,
                        lambda s, of=server: round_of(of, s),
                        wakes_s=WAKES_S,
                        servers_s=costs.cpu_s,
                    )
                    for server in (ours, peer)
                ]
                samples = await compare(sides, plan)
        finally:
            await servers.stop()
    return [versus("events", "events/s", samples, target=TARGET)]


async def round_of(server: Server, seconds: float) -> tuple[int, Sample]:
    """Have a server run one round."""
    found = json.loads(await server.ask(str(seconds), seconds + SETTLE_S))
    rate = found["count"] / found["seconds"]
    return found["count"], Sample(rate, 0.0, 0.0)
