"""Which headers cross the gateway: pure functions of header lists."""

import re

from holdfast.contract.crossing import crosses
from holdfast.contract.http import HeaderList

_STAY = frozenset(
    [b"authorization", b"host", b"content-type", b"content-encoding", b"idempotency-key"]
)
_CORRELATION = re.compile(rb"[A-Za-z0-9._-]{8,64}")


def forwarded_headers(headers: HeaderList) -> HeaderList:
    """Return the headers of a request that a service may see.

    Hop-by-hop headers end here, and so do those that `Connection` names; so does everything that
    claims an identity, a route or a trace, and any name with an underscore, which some servers
    read as a dash.
    """
    kept: HeaderList = []
    named: set[bytes] = set()
    for pair in headers:
        name, value = pair
        if crosses(name):
            kept.append(pair)
        elif name == b"connection":
            named |= {part.strip().lower() for part in value.split(b",")}
    # What the framework itself goes by cannot be taken away by naming it, or a caller could make
    # the gateway check one request and the service see another.
    named -= _STAY
    return [pair for pair in kept if pair[0] not in named] if named else kept


def correlation_of(headers: HeaderList) -> str:
    """Return the client's correlation id if it is harmless, or ""."""
    for name, value in headers:
        if name == b"x-correlation-id":
            return value.decode() if _CORRELATION.fullmatch(value) else ""
    return ""
