"""Simulates the same seeds of the shop again and again; those of this round are told on a line.

For each line on the standard input all seeds are run, and answered are how many there were, in how
many seconds of CPU, and how much virtual time passed in them.
"""

import json
import logging
import sys
import time
from dataclasses import replace

try:
    from holdfast.cli.named import simulated
except ImportError:  # another commit, with `--against`
    from holdfast.cli.load import simulated  # type: ignore[attr-defined, no-redef]
from holdfast.simulation.run import drawn_setup, run

SEEDS = 20  # the same ones, so that rounds differ by the machine alone
ORDERS = 10


def simulate() -> tuple[float, float]:
    """Run all seeds; return the CPU they took and the virtual time, in seconds."""
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to
    try:
        system = simulated("shop")
        begun, virtual_s = time.process_time(), 0.0
        for seed in range(SEEDS):
            setup = replace(drawn_setup(system, seed, ORDERS), joined=())
            outcome = run(system, seed, setup)
            assert not outcome.violations, f"seed {seed}: {outcome.violations[0]}"
            virtual_s += outcome.virtual_s
        return time.process_time() - begun, virtual_s
    finally:
        logging.disable(logging.NOTSET)


def main() -> None:
    """Answer until the input ends."""
    print("ready", flush=True)
    for _ in sys.stdin:
        cpu_s, virtual_s = simulate()
        found = {"count": SEEDS, "seconds": cpu_s, "virtual_s": virtual_s}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
