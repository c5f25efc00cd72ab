"""One run: a world, a schedule of faults, a workload, and what did not hold."""

import asyncio
import gc
import logging
import random
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from holdfast.errors import BrokenWorkload, CallError, DeclarationError
from holdfast.simulation import invariants
from holdfast.simulation.client import Client
from holdfast.simulation.faults import AnyFault, draw, draw_takeover
from holdfast.simulation.fence import Fence
from holdfast.simulation.history import History
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.world import ALL, GATEWAY, Setup, World
from holdfast.system import System

SETTLE_S = 1_800.0  # virtual, after the last fault or wait; what is open then is stuck
WAITS_MAX_S = 400 * 86_400.0  # virtual; whoever waits for longer is stuck
CHECK_EVERY = 40  # commits, between two looks at what must hold at any time


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must hold, and did not.

    Attributes:
        invariant: its name.
        told: what was found instead.
        at_s: when, in virtual seconds since the start.
    """

    invariant: str
    told: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.invariant}: {self.told}"


@dataclass(slots=True)
class Outcome:
    """What came of one run.

    Attributes:
        seed: what decided everything; the same one gives the same run.
        faults: what befell the world.
        violations: what did not hold; none if all went well.
        history: what happened, line by line.
        virtual_s: how long it took in the world's own time.
        callbacks: how many turns the event loop made.
        steps: {`service step`: how often it was passed}, the crash points.
        reached: the crash points at which a node was killed.
        injected: {fault's or misfortune's name: how often}.
        errors: the latest errors that were logged, with the lines in the user's code. Those of
            faults are among them.
        ends: {a declared function, and how it ended: how often}, see `Metrics.ends`.
    """

    seed: str
    faults: list[AnyFault]
    violations: list[Violation]
    history: History
    virtual_s: float = 0.0
    callbacks: int = 0
    steps: Counter[str] = field(default_factory=Counter[str])
    reached: list[str] = field(default_factory=list[str])
    injected: Counter[str] = field(default_factory=Counter[str])
    ends: Counter[str] = field(default_factory=Counter[str])
    errors: list[str] = field(default_factory=list[str])

    @property
    def digest(self) -> str:
        """A hash of the history; two runs of a seed have the same one."""
        return self.history.digest()

    @property
    def never_ran(self) -> list[str]:
        """The declared functions and failures that never came about."""
        return [name for name, times in self.ends.items() if not times]


def run(
    system: System,
    seed: int | str,
    setup: Setup | None = None,
    faults: Sequence[AnyFault] | None = None,
    *,
    size: int = 10,
) -> Outcome:
    """Run one seed.

    Args:
        setup: the world instead of the one that the seed draws.
        faults: a schedule instead of the one that the seed draws.
        size: how much the workload is asked to do, in a drawn setup.
    Raises:
        DeclarationError: the system declares no workload.
        BrokenWorkload: the workload raised something else than AssertionError or CallError.
        NotSimulated: something asked for what a seed does not decide, whatever became of it.
    """
    if system.simulated.workload is None:
        raise DeclarationError(
            [f"system {system.name!r} declares no workload: `@{system.name}.workload`"]
        )
    setup = setup or drawn_setup(system, seed, size)
    logger = logging.getLogger("holdfast")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # what goes wrong here is meant to
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _run(system, seed, setup, faults)
    finally:
        if collecting:
            gc.enable()  # the world is gone by now, so that what is left of it is found once


def _run(
    system: System, seed: int | str, setup: Setup, faults: Sequence[AnyFault] | None
) -> Outcome:
    loop = SimLoop(random.Random(f"{seed} order"))  # noqa: S311  # a seed decides everything here
    fence = Fence(random.Random(f"{seed} entropy"), loop.time)  # noqa: S311  # see above
    world = World(system, str(seed), setup, loop, fence)
    if faults is None:
        nodes = world.node_names
        faults = draw(random.Random(f"{seed} faults"), nodes, world.services)  # noqa: S311  # see above
        if not setup.together:  # whoever is everybody can take nobody over
            intruder = random.Random(f"{seed} intruder")  # noqa: S311  # see above
            faults += draw_takeover(intruder, world.services)
    drama = _Drama(world, list(faults))
    try:
        with fence.up():
            loop.run_until_complete(drama.play())
    except BrokenWorkload:
        if fence.refused is not None:  # which it came of
            raise fence.refused from None
        raise
    except Exception as exc:  # whatever ends a run early is its verdict
        drama.violate(type(exc).__name__, str(exc))
    finally:
        outcome = drama.outcome(str(seed))
        loop.close()
        world.close()
    if fence.refused is not None:
        raise fence.refused
    return outcome


def drawn_setup(system: System, seed: int | str, size: int = 10) -> Setup:
    """Return the world of a seed: one or two nodes for each service, two kinds of databases."""
    chance = random.Random(f"{seed} setup")  # noqa: S311  # a seed decides everything here
    two = {service.name: 2 for service in system.services if chance.random() < 0.3}
    joined = tuple(service.name for service in system.services if chance.random() < 0.5)
    return Setup(replicas=two, joined=joined, size=size)


class _Drama:
    """Plays one run to its end."""

    def __init__(self, world: World, faults: list[AnyFault]) -> None:
        self._world = world
        self._faults = faults
        self._violations: list[Violation] = []
        self._injected: Counter[str] = Counter()

    async def play(self) -> None:
        """Start, work under faults, let everything settle, and look at what came of it."""
        world = self._world
        await world.start()
        world.watch()
        world.on_commit = self._on_commit
        last_s = max((fault.at_s + fault.for_s for fault in self._faults), default=0.0)
        world.waits.not_before = world.loop.time() + last_s
        striking = [world.loop.create_task(self._strike(fault)) for fault in self._faults]
        await self._work()
        await asyncio.gather(*striking)
        await world.calm()
        await self._settle()
        if world.setup.operator:
            await world.operate()
            await self._settle()
        world.on_commit = None
        self._check(invariants.ALL)
        self._check([i.check for i in world.system.simulated.invariants])

    async def _work(self) -> None:
        world = self._world
        client = world.client()
        node = world.nodes["client"]
        workload: Callable[[Client], Awaitable[object]] | None = world.system.simulated.workload
        assert workload is not None, "checked by `run`"
        horizon_s = world.system.simulated.horizon_s
        limit = asyncio.timeout(horizon_s)
        try:
            async with limit:
                await world.within(node, workload(client))
        except Exception as exc:  # it is the user's code
            if limit.expired() and isinstance(exc, TimeoutError):
                told = (
                    f"it was not through after {horizon_s:g} s; `@workload(horizon=…)` gives more"
                )
                self.violate("the workload ends", told)
                return
            for leaf in _leaves(exc):
                if isinstance(leaf, AssertionError):
                    self.violate("the workload", _told(leaf))
                elif isinstance(leaf, CallError):
                    self.violate("the workload ends", f"{type(leaf).__name__}: {leaf}")
                else:
                    told = f"the workload raised {_named(leaf)}, with seed {world.seed}"
                    raise BrokenWorkload(told) from leaf

    async def _strike(self, fault: AnyFault) -> None:
        world = self._world
        await asyncio.sleep(fault.at_s)
        self._injected[fault.name] += 1
        world.record("fault", what=fault.name, fault=repr(fault))
        await fault.begin(world)
        if fault.for_s:
            await asyncio.sleep(fault.for_s)
        await fault.end(world)

    async def _settle(self) -> None:
        loop, waits = self._world.loop, self._world.waits
        give_up = loop.time() + SETTLE_S
        pause_s = 0.5
        while not invariants.is_settled(self._world) and loop.time() < give_up:
            if waits.leapt_s < WAITS_MAX_S and waits.leap():
                give_up = loop.time() + SETTLE_S
                pause_s = 0.5
            await asyncio.sleep(pause_s)
            pause_s = min(30.0, pause_s * 1.5)

    def _on_commit(self) -> None:
        if self._world.commits % CHECK_EVERY == 0 and not self._violations:
            self._check(invariants.ALWAYS)
            always = [i.check for i in self._world.system.simulated.invariants if i.always]
            self._check(always)

    def _check(self, checks: Sequence[Callable[[World], object]]) -> None:
        for check in checks:
            try:
                check(self._world)
            except AssertionError as exc:
                self.violate(check.__name__, _told(exc))
            except Exception as exc:  # it is the user's code, and looked for what is not there
                self.violate(check.__name__, _named(exc))

    def violate(self, invariant: str, told: str) -> None:
        """Take down what did not hold."""
        self._violations.append(Violation(invariant, told, self._world.loop.time()))
        self._world.record("violation", invariant=invariant, told=told)

    def outcome(self, seed: str) -> Outcome:
        """Return what came of it."""
        world = self._world
        hosts = {*world.services, GATEWAY, ALL}
        return Outcome(
            seed=seed,
            faults=self._faults,
            violations=self._violations,
            history=world.history,
            virtual_s=world.loop.time(),
            callbacks=world.loop.steps,
            steps=Counter({at: n for at, n in world.steps.items() if at.split()[0] in hosts}),
            reached=world.struck,
            injected=self._injected,
            ends=world.ends(),
            errors=world.errors(),
        )


def _told(error: AssertionError) -> str:
    """Return what an assertion says; without words of its own, the line that failed."""
    if str(error):
        return str(error)
    return _line(error)


def _named(error: BaseException) -> str:
    """Return an error with its type and the user's line that it came from."""
    return f"{type(error).__name__}: {error}, in {_line(error)}"


def _line(error: BaseException) -> str:
    """Return the last line that is neither a library's nor ours; without one, the last."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no line: it was made, and not raised"
    theirs = [frame for frame in frames if not any(part in frame.filename for part in _LIBRARIES)]
    frame = (theirs or frames)[-1]
    return f"{frame.line} ({frame.filename}:{frame.lineno})"


_LIBRARIES = (str(Path(__file__).parent.parent), "/lib/python3")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of a group, or an error that is none."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast(BaseExceptionGroup[BaseException], error).exceptions:
            yield from _leaves(inner)
    else:
        yield error
