"""Which request headers a service may see: the others end at the gateway.

Declarations are checked against it, and the gateway goes by it.
"""

from functools import lru_cache

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


@lru_cache(maxsize=1_024)
def crosses(name: bytes) -> bool:
    """Say whether a request header of this lower-case name crosses the gateway."""
    return not (
        name in HOP_BY_HOP or name in SPOOFABLE or name.startswith(_PREFIXES) or b"_" in name
    )
