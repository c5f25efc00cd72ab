"""Healthy events a second with one poisonous letter in a hundred, beside none.

The same process as in `events`, once with letters that no try can handle: each is tried eight
times, alone from the second on, and is kept as a dead letter.

Target: 95 % of the healthy events a second.
"""

from pathlib import Path

from benchmarks.events import round_of
from benchmarks.harness import Contender, Plan, Row, compare, versus
from benchmarks.ours.events import system
from benchmarks.process import Server, disk_folder, running
from benchmarks.servers import WAKES_S
from holdfast.runtime.servers import Servers

TARGET = 0.95


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    with disk_folder() as one, disk_folder() as other:
        ill, well = (
            Servers(folder / "servers", ["postgres", "nats"], system) for folder in (one, other)
        )
        try:
            sides = [
                await _side("1 % poison", one, ill, poison="1"),
                await _side("no poison", other, well, poison="0"),
            ]
            async with running(*(side.server for side in sides)):
                samples = await compare(sides, plan)
        finally:
            await ill.stop()
            await well.stop()
    return [versus("events with poison", "events/s", samples, target=TARGET)]


async def _side(name: str, folder: Path, servers: Servers, *, poison: str) -> Contender:
    await servers.start()
    environ = {**servers.environ, "POISON": poison}
    server = Server(name, "benchmarks.ours.events", str(folder), environ=environ)
    return Contender(server, lambda seconds: round_of(server, seconds), wakes_s=WAKES_S)
