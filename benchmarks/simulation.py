"""How fast the simulator is: seeds a second on one core, and virtual time beside real time.

A seed is the whole shop (five services and the gateway, seven nodes or more), ten orders and the
faults that the seed draws, with all invariants, on databases where statements are made at once:
where turns are joined a seed has more turns of the loop. The peer of virtual time is the clock on
the wall.

Targets: 20 seeds a second and core, 1,000 × real time.
"""

import logging
import time
from dataclasses import replace
from statistics import median

from benchmarks.harness import Plan, Row
from holdfast.cli.load import simulated
from holdfast.simulation.run import drawn_setup, run

SEEDS_TARGET, SPEED_TARGET = 20.0, 1_000.0
SEEDS = 20  # of each round; the same ones, so that rounds differ by the machine alone
ORDERS = 10


async def measure(plan: Plan) -> list[Row]:
    """Measure on this core: the one that otherwise makes the load."""
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to
    try:
        rounds = [_round() for _ in range(plan.rounds + 1)][1:]
    finally:
        logging.disable(logging.NOTSET)
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


def _round() -> tuple[float, float]:
    system = simulated("shop")
    begun, virtual_s = time.process_time(), 0.0
    for seed in range(SEEDS):
        setup = replace(drawn_setup(system, seed, ORDERS), joined=())
        outcome = run(system, seed, setup)
        assert not outcome.violations, f"seed {seed}: {outcome.violations[0]}"
        virtual_s += outcome.virtual_s
    return time.process_time() - begun, virtual_s
