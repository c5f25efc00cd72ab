"""The processes of other services: the less busy of two, and around those that do not answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from holdfast.communication import Origin
from holdfast.contract.http import Request, Response
from holdfast.errors import CallError, ConnectionLost, DeadlineExceeded, Unreachable
from holdfast.ports import Clock
from holdfast.resilience import BudgetPolicy, Chance, RetryBudget

AWAY_S = 1.0
"""A process that did not answer gets no request for so long, if there is another; and for twice as
long each time that it does not answer when it is asked again."""
AWAY_CAP_S = 30.0
SILENT_MAX = 3  # requests in a row that ran out of time, before a process counts as away


class Send(Protocol):
    """Sends a request to one process."""

    def __call__(
        self, origin: Origin, request: Request, /, *, deadline_s: float
    ) -> Awaitable[Response]: ...


@dataclass(slots=True)
class Replica:
    """What is known of a process.

    Attributes:
        under_way: requests that it has not answered. silent: those in a row that ran out of time.
        failures: times in a row that it was away. away_until: when it may be asked again.
    """

    under_way: int = 0
    silent: int = 0
    failures: int = 0
    away_until: float = 0.0

    def answered(self) -> None:
        """Note that it answers."""
        self.silent = self.failures = 0

    def failed(self, now: float, *, silent: bool) -> None:
        """Note that it was not reached, was cut off, or said nothing in time."""
        self.silent += silent
        if not silent or self.silent >= SILENT_MAX:
            self.away_until = now + min(AWAY_CAP_S, AWAY_S * 2.0 ** min(self.failures, 10))
            self.failures += 1


def in_order(
    origins: Sequence[Origin], known: Mapping[Origin, Replica], now: float, chance: Chance
) -> list[Origin]:
    """Return the processes of a service, the one to ask first: the less busy of two that are there.

    Who is away comes last, and first who may be back soonest.

    Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    """
    there = [origin for origin in origins if known[origin].away_until <= now]
    gone = [origin for origin in origins if known[origin].away_until > now]
    away = sorted(gone, key=lambda origin: known[origin].away_until)
    if len(there) > 1:
        one = int(chance.uniform(0, len(there))) % len(there)
        other = (one + 1 + int(chance.uniform(0, len(there) - 1)) % (len(there) - 1)) % len(there)
        first, second = there[one], there[other]
        if known[second].under_way < known[first].under_way:
            first, second = second, first
        rest = [origin for origin in there if origin not in (first, second)]
        there = [first, second, *rest]
    return [*there, *away]


@dataclass(frozen=True, slots=True)
class Hedge:
    """When a second process is asked as well.

    Attributes:
        after_s: so long after the first one was asked, and has not answered.
        sent: called each time that it is.
    """

    after_s: float
    sent: Callable[[], None]


class Replicas:
    """Chooses among the processes of a service.

    Args:
        discover: returns where they are.
        chance: draws the two of which the less busy one is asked.
    """

    def __init__(
        self,
        discover: Callable[[str], Sequence[Origin]] | None,
        send: Send,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._discover = discover
        self._send = send
        self._clock = clock
        self._chance = chance
        self._known: dict[str, dict[Origin, Replica]] = {}
        self._hedges = RetryBudget(BudgetPolicy())

    async def call(
        self, service: str, request: Request, timeout_s: float, hedge: Hedge | None = None
    ) -> Response:
        """Send a request to one of them; where nothing was sent, to the next one.

        Args:
            hedge: when a second one is asked as well, and whoever answers first has answered; for a
                tenth of the requests at most.
        Raises:
            Unreachable: none of them can be reached.
            CallError: what came of the try that may have had an effect.
        """
        if self._discover is None:
            raise Unreachable(f"{service} is not in this process", edge=service)
        origins = self._discover(service)
        if len(origins) == 1:
            return await self._send(origins[0], request, deadline_s=timeout_s)
        known = self._known_of(service, origins)
        now = self._clock.monotonic()
        ordered, give_up = in_order(origins, known, now, self._chance), now + timeout_s
        asked = [(origin, known[origin]) for origin in ordered]
        if hedge is None:
            return await self._one_of(asked, request, give_up)
        return await self._hedged(asked, request, give_up, hedge)

    def _known_of(self, service: str, origins: Sequence[Origin]) -> dict[Origin, Replica]:
        """Return what is known of a service's processes; those that are gone are forgotten."""
        known = self._known.get(service, {})
        if len(known) != len(origins) or any(origin not in known for origin in origins):
            known = {origin: known.get(origin) or Replica() for origin in origins}
            self._known[service] = known
        return known

    async def _one_of(
        self, asked: Sequence[tuple[Origin, Replica]], request: Request, give_up: float
    ) -> Response:
        unreachable: Unreachable | None = None
        for origin, replica in asked:
            try:
                return await self._ask(origin, replica, request, give_up)
            except Unreachable as exc:
                unreachable = exc
        assert unreachable is not None, "a service has at least one process"
        raise unreachable

    async def _ask(
        self, origin: Origin, replica: Replica, request: Request, give_up: float
    ) -> Response:
        clock = self._clock
        left_s = max(0.001, give_up - clock.monotonic())
        replica.under_way += 1
        try:
            response = await self._send(origin, request, deadline_s=left_s)
        except (Unreachable, ConnectionLost):
            replica.failed(clock.monotonic(), silent=False)
            raise
        except (DeadlineExceeded, asyncio.CancelledError) as exc:
            now = clock.monotonic()
            if isinstance(exc, DeadlineExceeded) or now >= give_up:  # else its caller has gone
                replica.failed(now, silent=True)
            raise
        else:
            replica.answered()
            return response
        finally:
            replica.under_way -= 1

    async def _hedged(
        self,
        asked: Sequence[tuple[Origin, Replica]],
        request: Request,
        give_up: float,
        hedge: Hedge,
    ) -> Response:
        """Ask a second one when the first takes long; return the first answer."""
        self._hedges.deposit(self._clock.monotonic())
        first = asyncio.ensure_future(self._one_of(asked, request, give_up))
        waiting = {first}
        try:
            await asyncio.wait(waiting, timeout=hedge.after_s)
            if not first.done() and self._hedges.try_withdraw(self._clock.monotonic()):
                hedge.sent()
                others = [*asked[1:], asked[0]]
                waiting.add(asyncio.ensure_future(self._one_of(others, request, give_up)))
            while True:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for answer in done:
                    if answer.exception() is None or not waiting:
                        return answer.result()
        finally:
            for late in waiting:
                late.cancel()
            for late in waiting:
                with suppress(asyncio.CancelledError, CallError):
                    await late
