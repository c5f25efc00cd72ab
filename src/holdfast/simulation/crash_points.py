"""Every crash point: each node struck at each step of a short path, one run for each."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from holdfast.simulation.campaign import Tally
from holdfast.simulation.faults import Strike
from holdfast.simulation.run import run
from holdfast.simulation.world import Setup
from holdfast.system import System

DOWN_S = 1.0
SEED = "every crash point"
SIZE = 2
"""Pieces of work: the workload should let the first succeed, and the second be undone."""

LOSABLE = ("commit.before", "publish.before", "ack.before")
"""Steps whose effect or answer may be lost while the node lives."""


def crash_points(system: System) -> list[Strike]:
    """Return one strike for each step of each service, and one for each loss."""
    calm = run(system, SEED, Setup(size=SIZE), [])
    strikes: list[Strike] = []
    for point, passed in sorted(calm.steps.items()):
        service, _, step = point.partition(" ")
        for nth in range(1, passed + 1):
            strikes.append(Strike(service=service, step=step, nth=nth, for_s=DOWN_S))
            if step in LOSABLE:
                strikes.append(Strike(service=service, step=step, nth=nth, lost=True))
    return strikes


def every_crash_point(
    load: Callable[[str], System], name: str, *, workers: int | None = None
) -> Iterator[Tally]:
    """Run the path once for each crash point, on all cores; yield what each run came to."""
    strikes = crash_points(load(name))
    workers = workers or os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        work = [(load, name, strike) for strike in strikes]
        yield from pool.map(_strike, work, chunksize=8)


def _strike(work: tuple[Callable[[str], System], str, Strike]) -> Tally:
    load, name, strike = work
    outcome = run(load(name), SEED, Setup(size=SIZE), [strike])
    tally = Tally()
    tally.add(outcome)
    where = f"{strike.service} {strike.name} {strike.nth}"
    tally.failed = [replace(failed, seed=where) for failed in tally.failed]
    return tally
