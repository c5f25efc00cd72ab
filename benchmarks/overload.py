"""A till that is asked for more than it can do, beside FastAPI on uvicorn with the same handlers.

Clients come at a constant rate, whatever became of those before, and go after half a second. First
is found what the till can do (a closed loop), and then it is asked for 0.8 to 10 times as much: a
tenth of it critical, a fifth bulk. Goodput is what was answered to clients who were still there, as
a share of what the till can do. A refusal's CPU is what the till used at ten times the load beside
its sales and what comes with each of them at 0.8 times, for each request that was none: connections
and what the kernel does are in it. `benchmarks.ours.simulated_till` is asked for the same.

Targets: goodput 0.95 at 2 times, 0.90 at 5, 0.80 at 10; at 0.8 at most 0.1 % refused; of what was
answered p99 within 0.3 of the deadline; 99.9 % of what is critical at 5 times; 40 us a refusal.
`python -m benchmarks.overload FOLDER` draws it.
"""

import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import uvloop

from benchmarks.harness import Plan, Row
from benchmarks.ours import simulated_till
from benchmarks.ours.till import DEADLINE_S, system
from benchmarks.process import Server, running
from holdfast.communication import Origin
from holdfast.engines.machine import MachineClock
from holdfast.load.course import Course, LoadPlan
from holdfast.load.offer import Offer
from holdfast.load.offered import mix_of
from holdfast.load.pace import paces
from holdfast.load.plot import draw
from holdfast.load.result import LevelResult, LoadReport, TierResult

TILL = "the till"
LEVELS = ("0.8x", "2x", "5x", "10x")
GOODPUT = {"2x": 0.95, "5x": 0.90, "10x": 0.80}
CONNECTIONS_MAX = 2_000
OFFERS = (
    Offer("GET", "/v1/pay", share=0.1),
    Offer("GET", "/v1/sell", share=0.7),
    Offer("GET", "/v1/count", share=0.2),
)


async def course(server: Server, seconds: float) -> tuple[LoadReport, list[float]]:
    """Load one server, level by level; return what it did, and its CPU beside the sales of each."""
    plan = LoadPlan(paces(",".join(LEVELS)), seconds, DEADLINE_S, CONNECTIONS_MAX)
    plan.check()
    origin = Origin.parse(server.url)
    mix = mix_of(system, OFFERS, host=origin.authority, keys="till")
    measuring = Course(origin, mix, plan, MachineClock(), quiet=None)
    capacity = await measuring.capacity_per_s()
    levels: list[LevelResult] = []
    used_s = [await _beside_s(server)]
    async for level in measuring.levels(capacity):
        used_s.append(await _beside_s(server))
        levels.append(level)
    report = LoadReport(
        server.name,
        server.url,
        DEADLINE_S,
        CONNECTIONS_MAX,
        capacity,
        tuple(measuring.rounds),
        tuple(levels),
    )
    return report, [after - before for before, after in pairwise(used_s)]


async def _beside_s(server: Server) -> float:
    """Return what a till used of its CPU for anything but sales; its peer does not tell."""
    told = server.name == TILL and await server.ask("worked", 60.0)
    return server.cpu_s() - float(told or 0.0)


async def measure(plan: Plan) -> list[Row]:
    """Measure the figures."""
    ours, cpu_s, peer = await both(5 * plan.round_s)
    rows = [_goodput(level, peer) for level in ours.levels if level.pace in GOODPUT]
    rows.append(_least("refused at 0.8 times the load", "%", _refused(ours.levels[0]), 0.1))
    for level in ours.levels:
        p99_ms, most_ms = level.whole.p99_ms or math.inf, 0.3 * DEADLINE_S * 1e3
        rows.append(_least(f"p99 of what is answered at {level.pace}", "ms", p99_ms, most_ms))
    critical = _tier(ours.levels[2], "critical")
    served = critical.good_per_s / critical.offered_per_s
    rows.append(Row("critical requests at 5 times", "served", served, ratio=served, target=0.999))
    rows.append(_least("CPU of a refusal", "us", _refusal_us(ours, cpu_s), 40.0))
    for level in ours.levels[1:3]:
        simulated = simulated_till.run(float(level.pace[:-1]), simulated_till.MIXED)
        share = simulated.good.total() * simulated_till.WORK_S / simulated.seconds
        rows.append(
            Row(
                f"simulated, at {level.pace}",
                "goodput",
                share,
                "the machine",
                level.whole.goodput,
                ratio=share / level.whole.goodput,
            )
        )
    return rows


async def both(seconds: float) -> tuple[LoadReport, list[float], LoadReport]:
    """Load the till and its peer; return what they did, and the till's CPU beside its sales."""
    till = Server(TILL, "benchmarks.ours.till")
    async with running(till):
        ours, cpu_s = await course(till, seconds)
    peer = Server("FastAPI + uvicorn", "benchmarks.peers.fastapi_till")
    async with running(peer):
        theirs, _ = await course(peer, seconds)
    return ours, cpu_s, theirs


def _goodput(level: LevelResult, peer: LoadReport) -> Row:
    (theirs,) = [other for other in peer.levels if other.pace == level.pace]
    goodput = level.whole.goodput
    return Row(
        f"overload, {level.pace} the load",
        "goodput",
        goodput,
        peer.system,
        theirs.whole.goodput,
        ratio=goodput,
        target=GOODPUT[level.pace],
    )


def _least(figure: str, unit: str, ours: float, target: float) -> Row:
    return Row(figure, unit, ours, target=target, at_most=True)


def _tier(level: LevelResult, name: str) -> TierResult:
    (found,) = [tier for tier in level.tiers if tier.tier == name]
    return found


def _refused(level: LevelResult) -> float:
    whole = level.whole
    return 100 * (whole.refused_429 + whole.refused_503) / (whole.offered_per_s * level.seconds)


def _refusal_us(report: LoadReport, cpu_s: Sequence[float]) -> float:
    calm, crowded = report.levels[0], report.levels[-1]
    beside_s = cpu_s[-1] - _sold(crowded) * cpu_s[0] / max(1.0, _sold(calm))
    asked = crowded.whole.offered_per_s * crowded.seconds - crowded.whole.unsent
    return beside_s / max(1.0, asked - _sold(crowded)) * 1e6


def _sold(level: LevelResult) -> float:
    return level.whole.good_per_s * level.seconds


def main(arguments: Sequence[str]) -> int:
    """Draw the till's course into a folder."""
    till = Server(TILL, "benchmarks.ours.till")

    async def load() -> LoadReport:
        async with running(till):
            return (await course(till, 10.0))[0]

    for path in draw(uvloop.run(load()), Path(arguments[0])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
