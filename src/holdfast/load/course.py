"""The course of a load: capacity first, then each level, and quiet between them."""

import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from holdfast.communication import Origin
from holdfast.errors import BrokenTraffic, SettingError, Unreachable
from holdfast.load.closed_loop import ClosedLoop
from holdfast.load.offer import Mix
from holdfast.load.open_loop import ConstantRate, OpenLoop
from holdfast.load.pace import Pace
from holdfast.load.quiet import STILL_S, Quiet
from holdfast.load.result import (
    CapacityRound,
    LevelResult,
    capacity_of,
    is_steady,
    level_result,
)
from holdfast.load.wire import Dial, Wire, dialer
from holdfast.ports import Clock

ROUNDS = (32, 64, 128)
"""Connections that ask at once: more of them share transactions, until they are in each other's
way."""
ROUND_S = 5.0
WARM_UP = 0.5
"""Of a round, before the first one."""
PAUSE_S = 2.0
"""Between levels, where nobody tells whether it is quiet."""
_SOURCES = 250
_FILES_BESIDE = 100


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is to be measured.

    Attributes:
        seconds: of each level.
        patience_s: how long a client waits.
        connections_max: how many are open at most.
    """

    paces: tuple[Pace, ...]
    seconds: float
    patience_s: float
    connections_max: int

    @property
    def round_s(self) -> float:
        """How long a round of the capacity lasts."""
        return min(ROUND_S, self.seconds)

    @property
    def least_s(self) -> float:
        """How long all of it takes where the system is quiet as soon as it is not asked."""
        rounds = len(ROUNDS) + WARM_UP
        stretches = len(ROUNDS) + 1 + len(self.paces)
        measured_s = rounds * self.round_s + len(self.paces) * self.seconds
        return measured_s + stretches * STILL_S

    def check(self) -> None:
        """Let this process open so many connections. Raises SettingError."""
        wanted = self.connections_max + _FILES_BESIDE
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise SettingError(
                [
                    f"{self.connections_max} connections need {wanted} open files of {hard} that "
                    "are allowed: lower --connections, or raise `ulimit -Hn`"
                ]
            )
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def dials_of(origin: Origin) -> Callable[[], Dial]:
    """Return what gives each new connection its dial.

    To this machine itself they come from many addresses, 127.0.0.2 and on, as clients do: rates are
    limited for each. Elsewhere this machine has one address.
    """
    if sys.platform != "linux" or not origin.host.startswith("127."):
        one = dialer(origin)
        return lambda: one
    many = [dialer(origin, source=f"127.0.0.{2 + number}") for number in range(_SOURCES)]
    turns = 0

    def next_dial() -> Dial:
        nonlocal turns
        turns += 1
        return many[turns % _SOURCES]

    return next_dial


@dataclass(slots=True)
class Course:
    """Measures one system; numbers of requests go on from one stretch to the next.

    Attributes:
        quiet: None: nobody tells whether work is under way.
    """

    origin: Origin
    mix: Mix
    plan: LoadPlan
    clock: Clock
    quiet: Quiet | None
    rounds: list[CapacityRound] = field(default_factory=list[CapacityRound])
    _next: int = 0

    async def capacity_per_s(self) -> float:
        """Return what is answered well each second when it is always asked.

        Raises:
            Unreachable: no connection can be made.
            BrokenTraffic: nothing is answered well.
        """
        seconds = self.plan.round_s
        await self._round(ROUNDS[0], seconds * WARM_UP)
        for connections in ROUNDS:
            self.rounds.append(await self._round(connections, seconds))
        return capacity_of(self.rounds)

    async def _round(self, connections: int, seconds: float) -> CapacityRound:
        connections = min(connections, self.plan.connections_max)
        next_dial = dials_of(self.origin)
        dials = [next_dial() for _ in range(connections)]
        loop = ClosedLoop(
            self.mix.request,
            self.mix.is_good,
            self.clock,
            seconds=seconds,
            patience_s=self.plan.patience_s,
            first=self._next,
        )
        try:
            found = await loop.run(dials)
        except OSError as exc:
            raise Unreachable(f"nothing answers at {self.origin}: {exc}") from exc
        self._next = loop.next
        if not found.good_s:
            raise BrokenTraffic(
                f"of {found.bad} requests none was answered well; the first: {found.first_bad}"
            )
        settled_s = await self._settled_s()
        steady = is_steady(found.halves)
        good = len(found.good_s)
        return CapacityRound(connections, good, found.bad, found.took_s, settled_s, steady)

    async def levels(self, capacity_per_s: float) -> AsyncIterator[LevelResult]:
        """Put each level of load on the system, and yield its figures."""
        for pace in self.plan.paces:
            per_s = pace.per_s(capacity_per_s)
            rate = ConstantRate(per_s, self.plan.seconds)
            next_dial = dials_of(self.origin)
            loop = OpenLoop[Wire](
                self.mix,
                rate,
                lambda answered, lost: Wire(next_dial(), answered, lost),  # noqa: B023
                self.clock,
                first=self._next,
                patience_s=self.plan.patience_s,
                connections_max=self.plan.connections_max,
            )
            tally = await loop.run()
            self._next += rate.count
            yield level_result(
                str(pace),
                per_s,
                rate.count / per_s,
                tally,
                capacity_per_s=capacity_per_s,
                settled_s=await self._settled_s(),
            )

    async def _settled_s(self) -> float | None:
        if self.quiet is not None:
            return await self.quiet.settled_s()
        await asyncio.sleep(PAUSE_S)
        return None
