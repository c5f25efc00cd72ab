"""When a system has done what it was asked, as its metrics say."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from holdfast.live import Said
from holdfast.observability import catalogue
from holdfast.ports import Clock
from holdfast.system import System

LOOK_S = 0.1
STILL_S = 1.0
"""How long nothing must have been handled."""
MEASURED_S = 15.0
"""After so long without a move what is left in the tables waits for something else: for a person,
or for a day. Processes measure their tables every ten seconds."""
SETTLE_S = 300.0

_HANDLED = (f"{catalogue.PROCESSED.name}_count", catalogue.SAGAS.name)
_TABLES = (catalogue.OUTBOX_ROWS.name, catalogue.INBOX_ROWS.name, catalogue.OPEN_SAGAS.name)


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What the metrics say of the work that is under way.

    Attributes:
        handled: letters and sagas that were handled so far.
        in_flight: letters that are not answered.
        in_tables: letters and sagas that wait, when the tables were last measured.
    """

    handled: float
    in_flight: float
    in_tables: float


def work_of(said: Sequence[Said]) -> OpenWork:
    """Add up what processes say of their work."""

    def total(*names: str) -> float:
        return sum(one.sample.total(name) for one in said for name in names)

    return OpenWork(total(*_HANDLED), total(catalogue.IN_FLIGHT.name), total(*_TABLES))


def starts_work(system: System) -> bool:
    """Whether a request to a system can leave work behind."""
    return any(edge.kind in ("command", "undo", "event") for edge in system.graph().edges) or any(
        service.sagas for service in system.services
    )


class Quiet:
    """Waits until a system has done what it was asked.

    Args:
        ask: asks all its processes.
        before: its work before the load: what waited then may wait on.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[Sequence[Said]]], clock: Clock, before: OpenWork
    ) -> None:
        self._ask, self._clock, self._waits = ask, clock, before.in_tables

    async def settled_s(self) -> float | None:
        """Return how long from now it still works; None: longer than is waited for."""
        begun = moved = self._clock.monotonic()
        last = work_of(await self._ask())
        while (now := self._clock.monotonic()) - begun < SETTLE_S:
            if self._is_quiet(last, now - moved):
                return moved - begun
            await asyncio.sleep(LOOK_S)
            work = work_of(await self._ask())
            if work.handled != last.handled or work.in_flight:
                moved = self._clock.monotonic()
            last = work
        return None

    def _is_quiet(self, work: OpenWork, still_s: float) -> bool:
        if work.in_flight or still_s < STILL_S:
            return False
        if still_s >= MEASURED_S:
            self._waits = work.in_tables
        return work.in_tables <= self._waits
