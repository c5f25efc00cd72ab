"""What travels in headers between processes of one system, which no client can bring in.

What the gateway found out about a request that it forwards is in them; the services see the request
without them, as they do in one process.
"""

from functools import lru_cache
from typing import Annotated

import msgspec

from holdfast.contract.cause import SUBJECT_CHARS_MAX, Cause
from holdfast.contract.http import HeaderList, Request
from holdfast.errors import BadRequest
from holdfast.system import Caller

DEADLINE = b"holdfast-deadline-ms"
CALLER = b"holdfast-caller"
ORIGIN = b"holdfast-origin"
ASK = b"holdfast-ask"
SUBJECT = b"holdfast-subject"
TOKEN = b"txn-token"
HEADERS_MAX, HEADER_BYTES_MAX = 16, 24 * 1024
"""What the gateway adds to a request, at most: the scopes of a caller may be many."""

CORRELATION, TRACE, STATE = b"x-correlation-id", b"traceparent", b"tracestate"
BAGGAGE = b"baggage"

INNER = frozenset(
    [DEADLINE, CALLER, ORIGIN, ASK, SUBJECT, TOKEN, CORRELATION, TRACE, STATE, BAGGAGE]
)
"""What the services do not see of them."""
_REPLACED = INNER | {b"host"}

ASKING = "/-/ask/"
"""Begins the path of a query: `/-/ask/<sender>/<Query.v1>`."""


_Subject = Annotated[str, msgspec.Meta(max_length=SUBJECT_CHARS_MAX)]


class _Who(msgspec.Struct, frozen=True):
    subject: str
    scopes: list[str]
    client: str = ""


def cause_headers(cause: Cause) -> HeaderList:
    """Return what tells another process what caused its work."""
    headers: HeaderList = []
    if cause.correlation:
        headers.append((CORRELATION, cause.correlation.encode()))
    if cause.trace:
        headers.append((TRACE, cause.trace.encode()))
    if cause.tracestate:
        headers.append((STATE, cause.tracestate.encode()))
    if cause.baggage:
        headers.append((BAGGAGE, cause.baggage.encode()))
    return headers


def subject_headers(cause: Cause) -> HeaderList:
    """Return what tells who is asked for whom it is, as data; any text may be one."""
    return [(SUBJECT, msgspec.json.encode(cause.subject))] if cause.subject else []


def cause_of(request: Request) -> Cause:
    """Return what another process says caused a request. Raises BadRequest."""
    sent = request.sent

    def said(name: bytes) -> str:
        return sent[name].decode("latin-1") if name in sent else ""

    subject = ""
    if told := sent.get(SUBJECT):
        try:
            subject = msgspec.json.decode(told, type=_Subject)
        except msgspec.DecodeError as exc:
            raise BadRequest(f"{SUBJECT.decode()} names nobody: {exc}") from exc
    return Cause(
        subject=subject,
        correlation=said(CORRELATION),
        trace=said(TRACE),
        tracestate=said(STATE),
        baggage=said(BAGGAGE),
    )


def entry_headers(
    request: Request, left_s: float, cause: Cause, token: bytes | None = None
) -> HeaderList:
    """Return what the gateway tells a service about a request that it forwards.

    A name with a line break cannot leave its header: JSON escapes it.

    Args:
        token: says whose it is where nobody's word is taken; otherwise a name in clear does.
    """
    headers = [
        (DEADLINE, b"%d" % max(1, int(left_s * 1000))),
        (ORIGIN, _where(request.client, request.scheme, request.header(b"host") or b"")),
        *cause_headers(cause),
    ]
    if token is not None:
        headers.append((TOKEN, token))
    elif request.caller is not None:
        headers.append((CALLER, _named(request.caller)))
    return headers


@lru_cache(maxsize=1_024)
def _named(caller: Caller) -> bytes:
    return msgspec.json.encode(_Who(caller.subject, sorted(caller.scopes), caller.client))


class _Where(msgspec.Struct, frozen=True):
    client: str
    scheme: str
    host: str


@lru_cache(maxsize=1_024)
def _where(client: str, scheme: str, host: bytes) -> bytes:
    return msgspec.json.encode(_Where(client, scheme, host.decode("latin-1")))


def as_it_was(request: Request) -> None:
    """Give a request the client, scheme, host and headers that the gateway saw. Raises BadRequest.

    Without a header that tells where it came from it keeps its own, but for what travels inside.
    """
    said = request.sent.get(ORIGIN)
    if said is None:
        request.headers = [pair for pair in request.headers if pair[0] not in INNER]
        return
    try:
        where = msgspec.json.decode(said, type=_Where)
    except msgspec.DecodeError as exc:
        raise BadRequest(f"{ORIGIN.decode()} names no origin: {exc}") from exc
    request.client, request.scheme = where.client, where.scheme
    others = [pair for pair in request.headers if pair[0] not in _REPLACED]
    host = where.host.encode("latin-1", "replace")
    request.headers = [(b"host", host), *others] if host else others


def caller_of(request: Request) -> Caller | None:
    """Return whom the gateway authenticated. Raises BadRequest."""
    who = request.sent.get(CALLER)
    if who is None:
        return None
    try:
        found = msgspec.json.decode(who, type=_Who)
    except msgspec.DecodeError as exc:
        raise BadRequest(f"{CALLER.decode()} names nobody: {exc}") from exc
    if "\0" in found.subject:
        raise BadRequest(f"{CALLER.decode()} holds the character NUL, which databases do not store")
    return Caller(found.subject, frozenset(found.scopes), found.client)
