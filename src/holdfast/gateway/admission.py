"""Admission: whether a request may be begun, by load, by lateness, and by the rates of who sent it.

It is the one gate: whatever limits how much comes in hangs here, with a begin and an end.
"""

from collections.abc import Callable
from functools import lru_cache

from holdfast.contract.http import GONE_S, HeaderList, Request
from holdfast.dispatch.attempts import network_of
from holdfast.errors import Overloaded, RateLimited
from holdfast.observability import Counter
from holdfast.ports import Limits, Taken
from holdfast.resilience.limiter import Wanted
from holdfast.system import Gateway, Rate

_REMEMBERED_MAX = 4_096
_LONG_AGO = float("-inf")


class Admission:
    """The gate of one gateway.

    Args:
        limited: counts what a rate refuses.

    Attributes:
        in_flight: requests that are inside now.
        address_rate, caller_rate: return the bucket of an address, or of a caller.
        requests, shed, rate_limited: how many came, and were refused, since the start.
    """

    __slots__ = (
        "_limited",
        "_limits",
        "address_rate",
        "caller_rate",
        "gateway",
        "in_flight",
        "lateness",
        "rate_limited",
        "requests",
        "shed",
    )

    def __init__(self, gateway: Gateway, limits: Limits, limited: Counter) -> None:
        self.gateway = gateway
        self._limits = limits
        self._limited = limited
        self.lateness = Lateness(gateway.wait_s)
        self.address_rate = _rates("address", gateway.per_address, network_of)
        self.caller_rate = _rates("caller", gateway.per_caller, str)
        self.in_flight = self.requests = self.rate_limited = self.shed = 0

    async def admit(self, request: Request, now: float) -> None:
        """Count a request in, and let it pass or refuse it; `leave` must follow either way.

        Raises:
            Overloaded: too many are inside, or it has waited for too long.
            RateLimited: its address sends too many.
        """
        gateway = self.gateway
        self.in_flight += 1
        self.requests += 1
        if self.in_flight > gateway.requests_max:
            self.shed += 1
            raise Overloaded("too many requests are under way", headers={"Retry-After": "1"})
        waited_s = now - (request.received_at or now)
        if self.lateness.refuses(waited_s, now) or (request.gone and waited_s > GONE_S):
            self.shed += 1
            raise Overloaded("the request waited for too long", headers={"Retry-After": "1"})
        rate = gateway.per_address
        if rate is not None:
            taken = await self._limits.try_take(*self.address_rate(request.client))
            if not taken.allowed:
                raise self._too_many("address", rate, taken)

    async def admit_caller(self, caller: str) -> HeaderList:
        """Let a caller pass who is known by now; return the RateLimit header of the answer.

        Raises:
            RateLimited: the caller sends too many.
        Source: draft-ietf-httpapi-ratelimit-headers-10.
        """
        rate = self.gateway.per_caller
        if rate is None:
            return []
        taken = await self._limits.try_take(*self.caller_rate(caller))
        if not taken.allowed:
            raise self._too_many("caller", rate, taken)
        return [told(taken)]

    def leave(self) -> None:
        """Count a request out."""
        self.in_flight -= 1

    def _too_many(self, kind: str, rate: Rate, taken: Taken) -> RateLimited:
        self.rate_limited += 1
        self._limited.inc()
        return RateLimited(
            f"more than {rate.per_s:g} requests a second of one {kind} (burst {rate.burst})",
            headers={
                "Retry-After": str(max(1, int(taken.reset_s + 0.999))),
                "RateLimit": f'"{kind}";r={taken.remaining};t={taken.reset_s:.0f}',
                "RateLimit-Policy": f'"{kind}";q={rate.burst};w={rate.burst / rate.per_s:.0f}',
            },
        )


def _rates(kind: str, rate: Rate | None, shared: Callable[[str], str]) -> Callable[[str], Wanted]:
    """Return what names the bucket of an address or a caller, and remembers the latest."""

    @lru_cache(maxsize=_REMEMBERED_MAX)
    def wanted(one: str) -> Wanted:
        assert rate is not None, "nobody asks where there is no rate"
        return f"{kind}:{shared(one)}", rate.per_s, rate.burst

    return wanted


def told(taken: Taken) -> tuple[bytes, bytes]:
    """Return the header that tells callers what is left of their rate."""
    return b"ratelimit", b'"caller";r=%d;t=%.0f' % (taken.remaining, taken.reset_s)


class Lateness:
    """Tells a queue that stands from one that passes.

    A process that was held up for two seconds is two seconds late with everything that came
    meanwhile, catches up at once, and should serve it. One that takes on more than it can serve
    stays late, and what it refuses then is what lets it keep its word to the others.

    Args:
        wait_s: how long a request may wait; over it for as long again, late ones are refused.
    Source: K. Nichols, V. Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012.
    """

    __slots__ = ("_last", "_since", "_wait_s")

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        # of late requests without one in time between them
        self._since = self._last = _LONG_AGO

    def on_time(self) -> None:
        """Note a request that has not waited for long."""
        self._last = _LONG_AGO

    def refuses(self, waited_s: float, now: float) -> bool:
        """Say whether a request that has waited so long is to be refused."""
        if waited_s <= self._wait_s:
            self.on_time()
            return False
        if now - self._last > self._wait_s:
            self._since = now
        self._last = now
        return now - self._since > self._wait_s
