"""Every crash point: each node struck at each step of a short path, one run for each.

The path is walked on both kinds of databases.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from holdfast.simulation.campaign import CHUNK, Tally
from holdfast.simulation.faults import Strike
from holdfast.simulation.pool import Workers, is_stopped
from holdfast.simulation.run import run
from holdfast.simulation.world import Setup
from holdfast.system import System

DOWN_S = 1.0
SEED = "every crash point"
SIZE = 2
"""Pieces of work: the workload should let the first succeed, and the second be undone."""

LOSABLE = ("commit.before", "publish.before", "ack.before")
"""Steps whose effect or answer may be lost while the node lives."""


def short_paths(system: System) -> list[Setup]:
    """Return the worlds in which the path is walked, one for each kind of databases."""
    joined = tuple(service.name for service in system.services)
    return [Setup(size=SIZE), Setup(size=SIZE, joined=joined)]


def crash_points(system: System, setup: Setup) -> list[Strike]:
    """Return one strike for each step of each service, and one for each loss."""
    calm = run(system, SEED, setup, [])
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
    with Workers(workers or os.cpu_count() or 1) as pool:
        under_way = {
            pool.submit(_strike, load, name, setup, strikes[at : at + CHUNK]): None
            for setup in short_paths(load(name))
            for strikes in [crash_points(load(name), setup)]
            for at in range(0, len(strikes), CHUNK)
        }
        while under_way:
            done = pool.first(under_way)
            del under_way[done]
            yield done.result()
        if pool.stopped:
            raise KeyboardInterrupt


def _strike(
    load: Callable[[str], System], name: str, setup: Setup, strikes: Sequence[Strike]
) -> Tally:
    system, tally = load(name), Tally()
    for strike in strikes:
        if is_stopped():
            break
        tried = Tally()
        tried.add(run(system, SEED, setup, [strike]))
        where = f"{strike.service} {strike.name} {strike.nth}{' joined' if setup.joined else ''}"
        tried.failed = [replace(failed, seed=where) for failed in tried.failed]
        tally.merge(tried)
    return tally
