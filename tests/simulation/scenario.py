"""What a scenario is: a small system, and the faults that aim at some of the safeguards."""

import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.simulation.faults import AnyFault
from holdfast.simulation.run import Outcome, drawn_setup, run
from holdfast.simulation.world import Setup
from holdfast.system import System

Draw = Callable[[random.Random], list[AnyFault]]


@dataclass(frozen=True)
class Scenario:
    """A system that a test declares for the simulator.

    Attributes:
        aims_at: the safeguards without which something here goes wrong.
        setup: its world; None draws one for each seed, as for every system.
        faults: draws a schedule that aims; None draws it as for every system.
        joined: whether all databases are of the kind that joins turns; None: as `setup` says.
    """

    system: System
    aims_at: tuple[str, ...]
    setup: Setup | None = None
    faults: Draw | None = None
    size: int = field(default=5)
    joined: bool | None = None

    def run(self, seed: int, safe: Safeguards = ALL_ON) -> Outcome:
        """Run one seed of it."""
        setup = self.setup or drawn_setup(self.system, seed, self.size)
        setup = replace(setup, safe=safe)
        if self.joined is not None:
            names = tuple(service.name for service in self.system.services)
            setup = replace(setup, joined=names if self.joined else ())
        faults = None
        if self.faults is not None:
            faults = self.faults(random.Random(f"{seed} aimed"))
        return run(self.system, seed, setup, faults)

    def broken(self, safe: Safeguards, seeds: Iterable[int]) -> Iterable[tuple[int, Outcome]]:
        """Yield the seeds that violate something."""
        logging.disable(logging.ERROR)  # what goes wrong here is meant to
        try:
            for seed in seeds:
                outcome = self.run(seed, safe)
                if outcome.violations:
                    yield seed, outcome
        finally:
            logging.disable(logging.NOTSET)
