"""The hop from the gateway to a service in another process: its limits are none of its own.

What a request and its answer may be is the gateway's and the route's to say; these limits let that
pass, and only keep what is broken from filling the memory.
"""

from dataclasses import replace

from holdfast.communication import HttpLimits, PoolLimits
from holdfast.dispatch.inner_headers import HEADER_BYTES_MAX, HEADERS_MAX
from holdfast.system import Gateway

AGE_S = 300.0
"""How long a connection inside the system is kept: so long may one live whose certificate would not
be taken any more."""


def inner_limits(gateway: Gateway) -> HttpLimits:
    """Return limits that let pass what the gateway let in, with what it says about that.

    A client that reads slowly is the gateway's to cut off, which reads in larger bites.
    """
    ours = HttpLimits()
    return replace(
        ours,
        header_bytes_max=ours.header_bytes_max + HEADER_BYTES_MAX,
        headers_max=ours.headers_max + HEADERS_MAX,
        body_bytes_max=max(gateway.body_bytes_max, ours.body_bytes_max),
        write_stall_s=600.0,
        age_s=AGE_S,
    )


def hop_limits(gateway: Gateway) -> PoolLimits:
    """Return the limits of the gateway's connections.

    Streams keep theirs, and may be as many as the gateway has clients; what else is under way, its
    edges bound.
    """
    return PoolLimits(
        connections_max=HttpLimits().connections_max,
        waiters_max=gateway.requests_max,
        header_bytes_max=1 << 20,
        age_s=AGE_S,
    )
