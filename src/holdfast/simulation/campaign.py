"""A campaign: many seeds on all cores, their sums, and what of a failing schedule matters."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.simulation.faults import AnyFault
from holdfast.simulation.pool import Workers, is_stopped
from holdfast.simulation.run import Outcome, Violation, drawn_setup, run
from holdfast.simulation.world import Setup
from holdfast.system import System

CHUNK = 8  # seeds that a worker runs before it reports


@dataclass(frozen=True, slots=True)
class Failed:
    """A seed that violated something."""

    seed: str
    violations: list[Violation]
    faults: list[AnyFault]


@dataclass(slots=True)
class Tally:
    """What many runs came to.

    Attributes:
        steps: {`service step`: how often it was passed}.
        reached: {`service step`: how often a node died there}.
        injected: {fault: how often}. misfortunes: {kind of happening: how often}.
        ends: {a declared function, and how it ended: how often}, see `Metrics.ends`.
    """

    seeds: int = 0
    virtual_s: float = 0.0
    callbacks: int = 0
    injected: Counter[str] = field(default_factory=Counter[str])
    misfortunes: Counter[str] = field(default_factory=Counter[str])
    steps: Counter[str] = field(default_factory=Counter[str])
    reached: Counter[str] = field(default_factory=Counter[str])
    ends: Counter[str] = field(default_factory=Counter[str])
    failed: list[Failed] = field(default_factory=list[Failed])

    @property
    def never_ran(self) -> list[str]:
        """The declared functions and failures that never came about."""
        return sorted(name for name, times in self.ends.items() if not times)

    def add(self, outcome: Outcome) -> None:
        """Add one run."""
        self.seeds += 1
        self.virtual_s += outcome.virtual_s
        self.callbacks += outcome.callbacks
        self.injected.update(outcome.injected)
        self.misfortunes.update(
            happening.kind
            for happening in outcome.history.happenings
            if happening.kind.startswith(("db.", "broker.", "net."))
            and happening.kind != "broker.deliver"
        )
        self.steps.update(outcome.steps)
        self.reached.update(outcome.reached)
        self.ends.update(outcome.ends)
        if outcome.violations:
            self.failed.append(Failed(outcome.seed, outcome.violations, outcome.faults))

    def merge(self, other: "Tally") -> None:
        """Add what another worker counted."""
        self.seeds += other.seeds
        self.virtual_s += other.virtual_s
        self.callbacks += other.callbacks
        for mine, others in (
            (self.injected, other.injected),
            (self.misfortunes, other.misfortunes),
            (self.steps, other.steps),
            (self.reached, other.reached),
            (self.ends, other.ends),
        ):
            mine.update(others)
        self.failed += other.failed


def campaign(
    load: Callable[[str], System],
    name: str,
    seeds: Iterable[int],
    *,
    size: int = 10,
    safe: Safeguards = ALL_ON,
    workers: int | None = None,
    going_on: Callable[[], bool] = lambda: True,
) -> Iterator[Tally]:
    """Run seeds on all cores; yield what each chunk of them came to.

    Args:
        load: returns the system of a name, in a worker of its own.
        going_on: asked before each chunk; False ends the campaign early.
    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C; what ran until then was yielded.
        BrokenWorkload: see `run`; nothing more is run.
    """
    count = workers or os.cpu_count() or 1
    with Workers(count) as pool:
        under_way: dict[Future[Tally], None] = {}
        for chunk in _chunks(seeds):
            under_way[pool.submit(run_chunk, load, name, chunk, size, safe)] = None
            if len(under_way) <= count:
                continue
            done = pool.first(under_way)
            del under_way[done]
            yield done.result()
            if pool.stopped or not going_on():
                break
        while under_way:
            done = pool.first(under_way)
            del under_way[done]
            yield done.result()
        if pool.stopped:
            raise KeyboardInterrupt


def run_chunk(
    load: Callable[[str], System], name: str, seeds: Sequence[int], size: int, safe: Safeguards
) -> Tally:
    """Run some seeds here; what a worker does."""
    system = load(name)
    tally = Tally()
    for seed in seeds:
        if is_stopped():
            break
        tally.add(run(system, seed, replace(drawn_setup(system, seed, size), safe=safe)))
    return tally


def _chunks(seeds: Iterable[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for seed in seeds:
        chunk.append(seed)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def shrink(
    system: System, seed: int | str, setup: Setup, failing: Outcome, *, runs_max: int = 60
) -> Outcome:
    """Return a run of the same seed with as few faults as still break the same invariant.

    First each fault alone: most bugs need one. Then one after the other is left out, until none
    can be; what was needed beside another may not be without it.
    """
    wanted = failing.violations[0].invariant
    best = failing
    runs = 0

    def breaks(faults: list[AnyFault]) -> bool:
        nonlocal best, runs
        tried = run(system, seed, setup, faults)
        runs += 1
        broken = any(violation.invariant == wanted for violation in tried.violations)
        best = tried if broken else best
        return broken

    if any(breaks([fault]) for fault in failing.faults[: runs_max // 2]):
        return best
    fewer = True
    while fewer and runs < runs_max:
        fewer, at = False, 0
        while at < len(best.faults) and runs < runs_max:
            if breaks([*best.faults[:at], *best.faults[at + 1 :]]):
                fewer = True
            else:
                at += 1
    return best
