"""The entrance: the gate of a process, where requests are refused that it has no room for.

Nothing was done for them by then: no task, no token, no body that is still on its way. That is what
makes a refusal cheap, and what a process that is asked for ten times what it can do lives on. Until
it has found out how many it can serve it lets too many in; those whose turn comes too late are
refused then, so that it goes on with those who are still there.
"""

from collections.abc import Callable, Container

from holdfast.contract.http import Request, Response
from holdfast.contract.tier import Tier
from holdfast.dispatch.inner_headers import ASKING, DEADLINE
from holdfast.dispatch.problem import problem_of
from holdfast.dispatch.router import Router, Target
from holdfast.errors import Overloaded
from holdfast.observability import Logger
from holdfast.ports import Clock
from holdfast.resilience import ConcurrencyLimits, Lateness, RoutePlaces, TierStats

Found = tuple[Target, dict[str, str]]
Refused = Callable[[Request, str, int], None]
_TOLD_EVERY_S = 1.0
_PATIENCE = {Tier.CRITICAL: 2.0, Tier.NORMAL: 1.0, Tier.BULK: 0.5}
_REFUSAL = problem_of(
    Overloaded("more is asked of this process than it can do", headers={"Retry-After": "1"}), ""
)


def untold(request: Request, route: str, status: int) -> None:
    """Nobody counts refusals by route."""


class Entrance:
    """Lets requests into what a router serves.

    Args:
        pages: paths that are always let in, such as /health/ready.
        inside: it is the system's own processes that come, and ask queries too.
        refused: told of each refusal: the route, and the status.
        dress: makes the refusal one that its client may read.
    """

    def __init__(
        self,
        router: Router,
        room: ConcurrencyLimits,
        clock: Clock,
        logger: Logger,
        *,
        pages: Container[str] = (),
        inside: bool = False,
        refused: Refused = untold,
        dress: Callable[[Request, Response], Response] | None = None,
    ) -> None:
        self._router, self._room, self._pages = router, room, pages
        self._monotonic = clock.monotonic
        self._logger, self._refused, self._dress = logger, refused, dress
        # Whoever asks for another service was let in there: what it has begun goes on.
        self._asking, self._asked = ASKING if inside else None, RoutePlaces(Tier.CRITICAL)
        self._unknown = RoutePlaces()
        self._lateness = Lateness(room.wait_s)  # of what was not read yet
        self._turns = {  # of what waited inside; by tiers, as the more patient ones come between
            tier: Lateness(room.wait_s * max(1.0, patience)) for tier, patience in _PATIENCE.items()
        }
        self._untold, self._told_at = 0, float("-inf")

    def enter(self, request: Request) -> Response | None:
        """See `contract.http.AdmissionControl`."""
        path = request.path
        if path in self._pages:
            return None
        found, places = self._find(request)
        now = self._monotonic()
        if not self._in_time(request, places.tier, now):
            self._room.refuse(places, now)
        elif self._room.enter(places, now):
            request.found, request.places = found, places
            return None
        return self._refusal(request, now, found)

    def is_full(self, request: Request) -> bool:
        """See `contract.http.AdmissionControl`."""
        return request.path not in self._pages and self._room.is_full(self._find(request)[1])

    def begin(self, request: Request) -> Response | None:
        """See `contract.http.AdmissionControl`."""
        places = request.places
        if not isinstance(places, RoutePlaces):
            return None
        now = self._monotonic()
        waited_s = now - request.received_at
        self._room.waited(waited_s, now)
        if not self._turns[places.tier].refuses(waited_s, now):
            return None
        request.places = None
        self._room.turn_away(places, now)
        return self._refusal(request, now, request.found)

    def leave(self, request: Request) -> None:
        """See `contract.http.AdmissionControl`."""
        places = request.places
        if isinstance(places, RoutePlaces):
            self._room.leave(places, self._monotonic() - request.received_at)

    def stats(self) -> dict[str, TierStats]:
        """Return {tier: its places}."""
        return self._room.stats()

    def _find(self, request: Request) -> tuple[Found | None, RoutePlaces]:
        """Return what serves a request, if that is sure, and whose places it wants one of."""
        if self._asking is not None and request.path.startswith(self._asking):
            return None, self._asked
        found = self._router.quick(request.method, request.path)
        return found, self._unknown if found is None else found[0].places

    def _in_time(self, request: Request, tier: Tier, now: float) -> bool:
        """Say whether a request comes in time, and can be begun while its client waits for it."""
        came = request.received_at
        if self._lateness.refuses((now - came) / _PATIENCE[tier], now):
            return False
        asked = request.sent.get(DEADLINE)
        if asked is None or not asked.isdigit():
            return True
        until = came + int(asked[:9]) / 1000
        return now + self._room.expected_s < until or now >= until  # too late is said elsewhere

    def _refusal(self, request: Request, now: float, found: Found | None) -> Response:
        self._refused(request, "" if found is None else found[0].template, _REFUSAL.status)
        self._tell(now)
        return _REFUSAL if self._dress is None else self._dress(request, _REFUSAL)

    def _tell(self, now: float) -> None:
        """Log refusals together: a line for each would cost more than the refusal."""
        self._untold += 1
        if now - self._told_at >= _TOLD_EVERY_S:
            self._logger.warning("requests.shed", count=self._untold)
            self._untold, self._told_at = 0, now
