"""Who is let in: not too many at once, and each not too often."""

import pytest

from holdfast import Gateway, Rate
from holdfast.contract.http import Request
from holdfast.errors import ClientGone, RateLimited
from holdfast.gateway.admission import Admission
from holdfast.observability import Metrics
from holdfast.resilience import MemoryLimits
from tests.observability.fakes import SetClock

RATE = Rate(per_s=1.0, burst=1)


def admission(gateway: Gateway) -> Admission:
    """Return the gate of a gateway, whose buckets do not refill."""
    return Admission(gateway, MemoryLimits(SetClock(5.0)), Metrics("shop").rate_limited("gateway"))


async def test_who_has_gone_is_not_worked_for() -> None:
    """What is fresh is done all the same: it costs less than to find out."""
    gate = admission(Gateway(per_address=None))
    await gate.admit(Request("GET", "/", gone=True), 0.5)
    with pytest.raises(ClientGone, match="the client closed the connection"):
        await gate.admit(Request("GET", "/", gone=True), 0.6)


async def test_an_address_and_a_caller_have_a_rate_each() -> None:
    """The header says what is left, and a refusal for how long it holds."""
    gate = admission(Gateway(per_address=RATE, per_caller=RATE))
    await gate.admit(Request("GET", "/", client="192.0.2.1"), 0.0)
    told = await gate.admit_caller("192.0.2.1")  # no address, though it is spelled like one

    assert told == [(b"ratelimit", b'"caller";r=0;t=1')]
    with pytest.raises(RateLimited, match="of one address") as refused:
        await gate.admit(Request("GET", "/", client="192.0.2.1"), 0.0)
    assert refused.value.headers == {
        "Retry-After": "1",
        "RateLimit": '"address";r=0;t=1',
        "RateLimit-Policy": '"address";q=1;w=1',
    }
    with pytest.raises(RateLimited, match="of one caller"):
        await gate.admit_caller("192.0.2.1")


async def test_without_rates_nobody_is_told_of_one() -> None:
    """A rate that is switched off counts nobody."""
    gate = admission(Gateway(per_address=None, per_caller=None))
    for _ in range(3):
        await gate.admit(Request("GET", "/"), 0.0)

    assert await gate.admit_caller("ada") == []
