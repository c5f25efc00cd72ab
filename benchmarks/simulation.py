"""How fast the simulator is: seeds a second on one core, and virtual time beside real time.

A seed is the whole shop (five services and the gateway, seven nodes or more), ten orders and the
faults that the seed draws, with all invariants, on databases where statements are made at once:
where turns are joined a seed has more turns of the loop. The peer of virtual time is the clock on
the wall.

Targets: 30 seeds a second and core, 1,000 × real time.
"""

from statistics import median

from benchmarks.events import round_of
from benchmarks.harness import Contender, Plan, Row, compare, versus
from benchmarks.ours.seeds import ORDERS, SEEDS, simulate
from benchmarks.process import Server, running
from benchmarks.tree import HERE, Tree

SEEDS_TARGET, SPEED_TARGET = 30.0, 1_000.0
_OURS = "benchmarks.ours.seeds"


async def measure(plan: Plan) -> list[Row]:
    """Measure on this core: the one that otherwise makes the load."""
    rounds = [simulate() for _ in range(plan.rounds + 1)][1:]
    seeds = median(SEEDS / real_s for real_s, _ in rounds)
    speed = median(virtual_s / real_s for real_s, virtual_s in rounds)
    return [
        Row(
            f"simulated seeds of {ORDERS} orders a core",
            "/s",
            seeds,
            "what was asked for",
            SEEDS_TARGET,
            seeds / SEEDS_TARGET,
            target=1.0,
        ),
        Row("simulated time", "s/s", speed, "real time", 1.0, speed, target=SPEED_TARGET),
    ]


async def against(plan: Plan, tree: Tree) -> list[Row]:
    """Measure seeds a second of CPU beside those of another commit."""
    ours, then = Server(HERE, _OURS), Server(tree.name, _OURS, tree=tree.path)
    async with running(ours, then):
        sides = [Contender(s, lambda seconds, of=s: round_of(of, seconds)) for s in (ours, then)]
        samples = await compare(sides, plan)
    return [versus(f"simulated seeds of {ORDERS} orders", "seeds/s", samples)]
