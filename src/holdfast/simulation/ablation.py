"""Ablations: every safeguard switched off once, to see that the simulator finds the harm.

A safeguard that nothing misses is untested, or unneeded.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median

from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.simulation.run import drawn_setup, run
from holdfast.system import System

NAMES = tuple(field.name for field in fields(Safeguards))


@dataclass(frozen=True, slots=True)
class Found:
    """What came of running without one safeguard.

    Attributes:
        seeds: how many were run. at: those that violated something.
        broke: the invariant that the first of them broke.
        faults: the fewest faults among them.
    """

    safeguard: str
    seeds: int
    at: tuple[int, ...]
    broke: str = ""
    faults: int = 0

    @property
    def median_seeds(self) -> float | None:
        """How many seeds it takes to find one, in the median; None if none was found."""
        if not self.at:
            return None
        starts = (-1, *self.at[:-1])
        return median(here - before for before, here in zip(starts, self.at, strict=True))


def without(
    system: System, safeguard: str, seeds: Iterable[int], *, size: int = 10, enough: int = 10
) -> Found:
    """Run seeds without one safeguard, until `enough` of them violated something."""
    logging.disable(logging.ERROR)  # what goes wrong here is meant to
    safe = ALL_ON.without(safeguard)
    at: list[int] = []
    broke, least, count = "", 0, 0
    for seed in seeds:
        count += 1
        setup = replace(drawn_setup(system, seed, size), safe=safe)
        outcome = run(system, seed, setup)
        if outcome.violations:
            at.append(seed)
            broke = broke or str(outcome.violations[0])
            number = len(outcome.faults)
            least = number if len(at) == 1 else min(least, number)
        if len(at) >= enough:
            break
    logging.disable(logging.NOTSET)
    return Found(safeguard, count, tuple(at), broke, least)


def ablate(load: Callable[[str], System], name: str, safeguard: str, seeds: Sequence[int]) -> Found:
    """What a worker does: one safeguard of one system."""
    return without(load(name), safeguard, seeds)
