"""Admission: whether a request may be begun, by the rates of who sent it.

Whether there is room for it at all, its process has decided before: see `dispatch.entrance`.
"""

from collections.abc import Callable
from functools import lru_cache

from holdfast.contract.http import GONE_S, HeaderList, Request
from holdfast.dispatch.attempts import network_of
from holdfast.dispatch.gone import client_gone
from holdfast.errors import RateLimited
from holdfast.observability import Counter
from holdfast.ports import Limits, Taken
from holdfast.resilience.limiter import Wanted
from holdfast.system import Gateway, Rate

_REMEMBERED_MAX = 4_096


class Admission:
    """What limits how often each address and each caller may come.

    Args:
        limited: counts what a rate refuses.

    Attributes:
        address_rate, caller_rate: return the bucket of an address, or of a caller.
    """

    __slots__ = ("_limited", "_limits", "address_rate", "caller_rate", "gateway")

    def __init__(self, gateway: Gateway, limits: Limits, limited: Counter) -> None:
        self.gateway = gateway
        self._limits = limits
        self._limited = limited
        self.address_rate = _rates("address", gateway.per_address, network_of)
        self.caller_rate = _rates("caller", gateway.per_caller, str)

    async def admit(self, request: Request, waited_s: float) -> None:
        """Let a request pass that has waited so long for its turn.

        Raises:
            ClientGone: it has gone meanwhile.
            RateLimited: its address sends too many.
        """
        if request.gone and waited_s > GONE_S:
            raise client_gone()
        rate = self.gateway.per_address
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

    def _too_many(self, kind: str, rate: Rate, taken: Taken) -> RateLimited:
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
