"""`python -m tests.simulation.digests N`: prints the digest of the history of each of N seeds."""

import logging
import sys

from holdfast.cli.load import simulated
from holdfast.simulation import run


def main() -> None:
    """Print them."""
    logging.disable(logging.CRITICAL)
    system = simulated("shop")
    for seed in range(int(sys.argv[1])):
        print(seed, run(system, seed, size=4).digest)


if __name__ == "__main__":
    main()
