"""Where a route, an order and an event spend their time: a picture of each, from samples.

Each is the serving process under the load of its figure (the order on Postgres and NATS), sampled
by `benchmarks.sampled`; the pictures are `docs/performance-*.svg`. Shares hardly change with what
else the machine does.
"""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from benchmarks import events, servers
from benchmarks.bars import Bar, picture
from benchmarks.harness import Plan, Row, Sample
from benchmarks.process import ROOT, Server, disk_folder, running
from benchmarks.route import load, requests
from benchmarks.sampled import HANDLERS, LOOP, OTHER_THREADS

ROUNDS = 10  # of the plan's seconds
SMALLEST = 0.01  # what has less is put together
_SOURCES = ROOT / "src" / "holdfast"
_REST = "the rest"
Run = Callable[[float], Awaitable[tuple[int, Sample]]]


async def measure(plan: Plan) -> list[Row]:
    """Write the pictures; return the shares."""
    rows: list[Row] = []
    with disk_folder() as folder:
        out = folder / "samples.json"
        server = Server("a route", "benchmarks.ours.route", samples=out)
        async with running(server):
            rows += await _drawn(server, load(server, requests()), out, plan)
        async with servers.side("an order", samples=out) as side:
            rows += await _drawn(side.server, side.run, out, plan)
        async with events.ours("an event", samples=out) as (server, _):
            run: Run = lambda seconds: events.round_of(server, seconds)  # noqa: E731
            rows += await _drawn(server, run, out, plan)
    return rows


async def _drawn(server: Server, run: Run, out: Path, plan: Plan) -> list[Row]:
    await run(plan.warm_up_s)
    os.kill(server.pid, signal.SIGUSR1)
    begun_s = server.cpu_s()
    count, _ = await run(plan.round_s * ROUNDS)
    each_us = (server.cpu_s() - begun_s) / count * 1e6
    os.kill(server.pid, signal.SIGUSR2)
    async with asyncio.timeout(60):
        while not out.exists():
            await asyncio.sleep(0.01)
    bars = bars_of(json.loads(out.read_text()))
    out.unlink()
    caption = (
        f"CPU of the serving process by rooms of the house; {each_us:,.0f} µs each when sampled"
    )
    name = server.name.rpartition(" ")[2]
    drawn = picture(f"Where {server.name} spends its time", caption, bars)
    (ROOT / "docs" / f"performance-{name}.svg").write_text(drawn)
    return [Row(f"{server.name}: {bar.label}", "%", 100 * bar.share) for bar in bars]


def bars_of(found: Mapping[str, float]) -> list[Bar]:
    """Return the bars of {room: seconds}, the largest first, the smallest as one."""
    total = sum(found.values())
    shares = {room: seconds / total for room, seconds in found.items()}
    large = {room: share for room, share in shares.items() if share >= SMALLEST}
    bars = [Bar(room, share, kind_of(room)) for room, share in large.items()]
    bars.sort(key=lambda bar: -bar.share)
    rest = 1 - sum(large.values())
    return [*bars, Bar(_REST, rest, "machine")] if rest > 0.0005 else bars


def kind_of(room: str) -> str:
    """Return whose a room is."""
    if room == HANDLERS:
        return "user"
    if room in (LOOP, OTHER_THREADS):
        return "machine"
    ours = (_SOURCES / room).is_dir() or (_SOURCES / f"{room}.py").exists()
    return "ours" if ours else "library"
