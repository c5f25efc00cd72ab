"""The processes of other services: each in its turn, and around those that do not answer."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from holdfast.communication import Origin
from holdfast.contract.http import Request, Response
from holdfast.errors import ConnectionLost, Unreachable
from holdfast.ports import Clock

AWAY_S = 1.0  # a process that did not answer gets no request for so long, if there is another


class Send(Protocol):
    """Sends a request to one process."""

    def __call__(
        self, origin: Origin, request: Request, /, *, deadline_s: float
    ) -> Awaitable[Response]: ...


class Replicas:
    """Chooses among the processes of a service.

    Args:
        discover: returns where they are.
    """

    def __init__(
        self, discover: Callable[[str], Sequence[Origin]] | None, send: Send, clock: Clock
    ) -> None:
        self._discover = discover
        self._send = send
        self._clock = clock
        self._turns: dict[str, int] = {}
        self._away_until: dict[Origin, float] = {}

    async def call(self, service: str, request: Request, timeout_s: float) -> Response:
        """Send a request to one of them; where nothing was sent, to the next one.

        Raises:
            Unreachable: none of them can be reached.
            CallError: what came of the try that may have had an effect.
        """
        if self._discover is None:
            raise Unreachable(f"{service} is not in this process", edge=service)
        give_up = self._clock.monotonic() + timeout_s
        unreachable: Unreachable | None = None
        for origin in self._in_turn(service):
            left_s = max(0.001, give_up - self._clock.monotonic())
            try:
                return await self._send(origin, request, deadline_s=left_s)
            except Unreachable as exc:
                self._away_until[origin] = self._clock.monotonic() + AWAY_S
                unreachable = exc
            except ConnectionLost:
                self._away_until[origin] = self._clock.monotonic() + AWAY_S
                raise
        assert unreachable is not None, "a service has at least one process"
        raise unreachable

    def _in_turn(self, service: str) -> list[Origin]:
        assert self._discover is not None
        origins = list(self._discover(service))
        if len(origins) == 1:
            return origins
        turn = self._turns.get(service, 0)
        self._turns[service] = turn + 1
        at, now = turn % len(origins), self._clock.monotonic()
        ordered = origins[at:] + origins[:at]
        return sorted(ordered, key=lambda origin: self._away_until.get(origin, 0.0) > now)
