"""`python -m tests.simulation.digests A B`: prints the digests of the seeds from A to before B."""

import logging
import sys

from holdfast.cli.named import simulated
from holdfast.simulation import run


def main() -> None:
    """Print them."""
    logging.disable(logging.CRITICAL)
    system = simulated("shop")
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        print(seed, run(system, seed, size=4).digest)


if __name__ == "__main__":
    main()
