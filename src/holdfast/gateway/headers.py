"""Which headers cross the gateway: pure functions of header lists."""

import re
from functools import lru_cache

from holdfast.contract.http import HeaderList

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, section 7.6.1: these end at this connection."""

SPOOFABLE = frozenset(
    {
        b"forwarded",
        b"x-real-ip",
        b"x-request-id",
        b"x-correlation-id",
        b"x-client-cert",
        b"x-user",
        b"x-user-id",
        b"remote-user",
        b"txn-token",
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
"""What a service might believe if it came from the gateway."""

_PREFIXES = (b"x-forwarded-", b"holdfast-", b"x-ssl-", b"x-envoy-")
_CORRELATION = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def forwarded_headers(headers: HeaderList) -> HeaderList:
    """Return the headers of a request that a service may see.

    Hop-by-hop headers end here, and so do those that `Connection` names; so does everything that
    claims an identity, a route or a trace, and any name with an underscore, which some servers
    read as a dash.
    """
    kept = [pair for pair in headers if crosses(pair[0])]
    named = {
        part.strip().lower()
        for name, value in headers
        if name == b"connection"
        for part in value.split(b",")
    }
    if not named:
        return kept
    # Authorization and Host cannot be taken away by naming them, or a caller could make the
    # gateway check one request and the service see another.
    named -= {b"authorization", b"host", b"content-type", b"idempotency-key"}
    return [pair for pair in kept if pair[0] not in named]


@lru_cache(maxsize=1_024)
def crosses(name: bytes) -> bool:
    """Say whether a request header of this lower-case name crosses the gateway."""
    return not (
        name in HOP_BY_HOP or name in SPOOFABLE or name.startswith(_PREFIXES) or b"_" in name
    )


def correlation_of(headers: HeaderList) -> str:
    """Return the client's correlation id if it is harmless, or ""."""
    for name, value in headers:
        if name == b"x-correlation-id":
            return value.decode() if _CORRELATION.fullmatch(value) else ""
    return ""
